import math

import pytest
import torch

from models.losses import detector_losses, rpn_losses, smooth_l1


def test_smooth_l1_by_hand():
    error = torch.tensor([0.0, 0.5, -0.5, 1.0, 3.0])
    assert smooth_l1(error, 1.0).tolist() == pytest.approx([0, 0.125, 0.125, 0.5, 2.5])
    # sigma 3: 0.5 * (3 e)^2 below 1/9, |e| - 0.5 / 9 above.
    assert smooth_l1(torch.tensor([0.1, 1.0]), 1 / 9).tolist() == pytest.approx([0.045, 1 - 1 / 18])


def test_rpn_losses_by_hand():
    logits = torch.tensor([[0.0, 0.0, 5.0]])
    deltas = torch.tensor([[[1.0, 0, 0, 0], [9, 9, 9, 9], [9, 9, 9, 9]]])
    positive = torch.tensor([[True, False, False]])
    sampled = torch.tensor([[True, True, False]])
    losses = rpn_losses(logits, deltas, positive, sampled, torch.zeros(1, 3, 4), 1 / 9)
    assert losses["rpn_class"].item() == pytest.approx(math.log(2))
    assert losses["rpn_box"].item() == pytest.approx((1 - 1 / 18) / 2)


def test_empty_sample_costs_nothing():
    none = torch.zeros(1, 4, dtype=torch.bool)
    losses = rpn_losses(torch.ones(1, 4), torch.ones(1, 4, 4), none, none, torch.zeros(1, 4, 4), 1)
    assert [v.item() for v in losses.values()] == [0, 0]
    labels = torch.zeros(1, 4, dtype=torch.int64)
    losses = detector_losses(
        torch.ones(1, 4, 3), torch.ones(1, 4, 2, 4), labels, none, torch.zeros(1, 4, 4), 1
    )
    assert [v.item() for v in losses.values()] == [0, 0]


def test_background_gives_no_box_gradient_and_foreground_only_to_its_class():
    logits = torch.zeros(1, 2, 3, requires_grad=True)
    deltas = torch.ones(1, 2, 2, 4, requires_grad=True)
    labels = torch.tensor([[0, 2]])
    sampled = torch.ones(1, 2, dtype=torch.bool)
    losses = detector_losses(logits, deltas, labels, sampled, torch.zeros(1, 2, 4), 1.0)
    assert losses["detector_class"].item() == pytest.approx(math.log(3))
    assert losses["detector_box"].item() == pytest.approx(4 * 0.5 / 2)
    losses["detector_box"].backward()
    assert deltas.grad is not None
    assert (deltas.grad[0, 0] == 0).all()
    assert (deltas.grad[0, 1, 0] == 0).all()
    assert (deltas.grad[0, 1, 1] == 0.5).all()
