"""Shares of a mini-batch: together they are the whole, in noise, samples and losses."""

import pytest
import torch

from models.fast_rcnn import sample_rois
from models.losses import detector_losses, rpn_losses
from models.parameters import RoITargetParameters
from models.share import WHOLE, Share


def generator():
    return torch.Generator().manual_seed(3)


def test_noise_is_the_rows_of_one_draw():
    whole = WHOLE.noise(torch.zeros(6, 5), generator())
    shares = [Share(n, 3).noise(torch.zeros(2, 5), generator()) for n in range(3)]
    assert torch.equal(torch.cat(shares), whole)


def test_without_shares_the_count_is_that_of_the_slots():
    assert WHOLE.mean_count(torch.tensor([[True, True, False]])) == 2
    assert WHOLE.mean_count(torch.zeros(1, 3, dtype=torch.bool)) == 1


@pytest.mark.parametrize("used", [(3, 1), (1, 0), (0, 0)])
def test_the_mean_of_the_shares_losses_is_the_loss_of_the_whole(used):
    """Also where the shares have other numbers of slots in use, or none."""
    source = generator()
    sampled = torch.arange(4) < torch.tensor(used)[:, None]
    positive = sampled & (torch.arange(4) < 1)
    logits, deltas = torch.randn(2, 4, generator=source), torch.randn(2, 4, 4, generator=source)
    scores = torch.randn(2, 4, 3, generator=source)
    regressions = torch.randn(2, 4, 2, 4, generator=source)
    targets = torch.zeros(2, 4, 4)

    def losses(rows, share):
        given = (sampled[rows], targets[rows], 1.0, share)
        rpn = rpn_losses(logits[rows], deltas[rows], positive[rows], *given)
        labels = positive[rows].long()
        return rpn | detector_losses(scores[rows], regressions[rows], labels, *given)

    whole = losses(slice(0, 2), WHOLE)
    shares = [losses(slice(n, n + 1), Share(n, 2, lambda count: sampled.sum())) for n in range(2)]
    for name, value in whole.items():
        mean = (shares[0][name] + shares[1][name]) / 2
        assert mean.item() == pytest.approx(value.item(), abs=1e-6), name


def test_rois_of_the_shares_are_those_of_the_whole():
    truth = torch.tensor([[[0.0, 0, 10, 10]], [[5.0, 5, 20, 20]]])
    labels = torch.tensor([[1], [2]])
    proposals = truth + torch.rand(2, 40, 4, generator=generator()) * 4
    valid = torch.ones(2, 40, dtype=torch.bool)
    rule = RoITargetParameters(rois_per_batch=16)

    def sample(rows, share):
        given = (proposals[rows], valid[rows], truth[rows], labels[rows])
        return sample_rois(*given, rule, generator(), share)

    whole = sample(slice(0, 2), WHOLE)
    for n in range(2):
        share = sample(slice(n, n + 1), Share(n, 2))
        for ours, theirs in zip(share, whole, strict=True):
            assert torch.equal(ours, theirs[n : n + 1])
