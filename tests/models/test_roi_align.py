"""RoIAlign's gradient against torchvision's own, on RoIs inside, across and outside the map."""

import pytest
import torch
from torchvision.ops import roi_align as torchvision_roi_align

from models.roi_align import roi_align, with_image


def rois_everywhere(batch, count):
    """RoIs (B, R, 4) in an image of 112 x 80 pixels, some reaching outside, some without area."""
    corner = torch.rand(batch, count, 2, dtype=torch.float64) * 180 - 40
    side = torch.rand(batch, count, 2, dtype=torch.float64) * 90
    side[:, 0] = 0
    return torch.cat([corner, corner + side], dim=-1)


@pytest.mark.parametrize("size", [1, 5, 7])
def test_values_and_gradient_are_torchvisions(size):
    torch.manual_seed(size)
    features = torch.randn(2, 3, 7, 5, dtype=torch.float64, requires_grad=True)
    rois = rois_everywhere(2, 40)
    ours = roi_align(features, rois, size, 1 / 16)
    theirs = torchvision_roi_align(features, with_image(rois), size, 1 / 16, 2, aligned=True)
    assert torch.equal(ours, theirs)
    weights = torch.randn_like(ours)
    (wanted,) = torch.autograd.grad((theirs * weights).sum(), features)
    (gradient,) = torch.autograd.grad((ours * weights).sum(), features)
    assert wanted.abs().sum() > 0
    torch.testing.assert_close(gradient, wanted)


def test_without_rois_the_gradient_is_zero():
    features = torch.randn(1, 2, 3, 3, requires_grad=True)
    roi_align(features, torch.zeros(1, 0, 4), 7, 1 / 16).sum().backward()
    assert torch.equal(features.grad, torch.zeros_like(features))
