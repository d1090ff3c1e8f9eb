"""The RPN: at sampled anchors it gives what it gives everywhere."""

import pytest
import torch

from models.parameters import AnchorParameters, RPNTargetParameters
from models.rpn import RPN, neighbourhoods


@pytest.fixture
def rpn():
    torch.manual_seed(0)
    network = RPN(channels=6, hidden=8, stride=16, anchors=AnchorParameters())
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    return network


def test_the_cells_around_a_cell_are_zero_outside_the_map():
    features = torch.arange(1.0, 7.0).reshape(1, 1, 2, 3)  # 1 2 3 / 4 5 6
    found = neighbourhoods(features, torch.tensor([[0, 4]]))
    assert found.tolist() == [[[0, 0, 0, 0, 1, 2, 0, 4, 5], [1, 2, 3, 4, 5, 6, 0, 0, 0]]]


def test_sampled_anchors_have_the_logits_and_deltas_of_the_whole_map(rpn):
    features = torch.randn(2, 6, 4, 5, requires_grad=True)
    logits, deltas, anchors = rpn(features)
    assert len(anchors) == logits.shape[1] == 4 * 5 * 9
    index = torch.stack([torch.randperm(len(anchors)), torch.randperm(len(anchors))])
    sampled_logits, sampled_deltas = rpn.of_anchors(features, index)
    wanted = logits.gather(1, index), deltas.gather(1, index[..., None].expand(-1, -1, 4))
    torch.testing.assert_close((sampled_logits, sampled_deltas), wanted)

    parameters = [features, *rpn.parameters()]
    weights = torch.randn_like(sampled_logits)
    ours = torch.autograd.grad((sampled_logits * weights).sum() + sampled_deltas.sum(), parameters)
    theirs = torch.autograd.grad((wanted[0] * weights).sum() + wanted[1].sum(), parameters)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_the_losses_do_not_run_the_conv_over_the_whole_map(rpn, monkeypatch):
    monkeypatch.setattr(rpn.conv, "forward", None)
    boxes = torch.tensor([[[0.0, 0.0, 60.0, 60.0]]])
    sizes, generator = torch.tensor([[64, 80]]), torch.Generator().manual_seed(0)
    losses = rpn.losses(torch.randn(1, 6, 4, 5), sizes, boxes, RPNTargetParameters(), generator)
    assert all(loss.isfinite() for loss in losses.values())
