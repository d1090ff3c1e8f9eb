"""RoI pooling against the formulas of Fast R-CNN, 2.1 and 2.3, computed cell by cell."""

import math

import pytest
import torch

from models.roi_pooling import pool_rois


def test_pool_takes_the_maximum_of_each_sub_window():
    features = torch.arange(16.0).reshape(1, 1, 4, 4)
    roi = torch.tensor([[[0.0, 0, 3, 3]]])
    assert pool_rois(features, roi, "pool", 2, 1).flatten().tolist() == [5, 7, 13, 15]


def test_align_averages_samples():
    features = torch.arange(16.0).reshape(1, 1, 4, 4)
    roi = torch.tensor([[[0.0, 0, 4, 4]]])
    # Each quarter's mean, up to the clamping of samples at the border.
    assert torch.allclose(
        pool_rois(features, roi, "align", 2, 1).flatten(),
        torch.tensor([2.5, 4.5, 10.5, 12.5]),
        atol=0.7,
    )


def test_rois_read_their_own_image_at_the_features_scale():
    features = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)])
    rois = torch.tensor([[[0.0, 0, 32, 32]], [[0.0, 0, 32, 32]]])
    for operator in ("pool", "align"):
        pooled = pool_rois(features, rois, operator, 2, 16)
        assert pooled.shape == (2, 1, 2, 2)
        assert pooled[0].max() == 0
        assert pooled[1].min() == 1


def sub_window(start, length, part, size, limit):
    """Cells [low, high) of sub-window ``part`` of ``size``: all but h / H high (2.1)."""
    low = start + math.floor(part * length / size)
    high = start + math.ceil((part + 1) * length / size)
    return max(0, min(low, limit)), max(0, min(high, limit))


def reference(features, rois, size, stride):
    """y (R, D, size, size), and i*(r, j): the cell whose maximum each is; None for an empty one."""
    batch, depth, height, width = features.shape
    pooled, argmax = [], {}
    for image in range(batch):
        for roi in rois[image].tolist():
            x1, y1, x2, y2 = (math.floor(v / stride + 0.5) for v in roi)
            length_x, length_y = max(x2 - x1 + 1, 1), max(y2 - y1 + 1, 1)
            output = torch.zeros(depth, size, size, dtype=features.dtype)
            for d in range(depth):
                for row in range(size):
                    for column in range(size):
                        top, bottom = sub_window(y1, length_y, row, size, height)
                        left, right = sub_window(x1, length_x, column, size, width)
                        cells = [(y, x) for y in range(top, bottom) for x in range(left, right)]
                        if cells:
                            best = max(cells, key=lambda c: features[image, d, c[0], c[1]].item())
                            output[d, row, column] = features[image, d, best[0], best[1]]
                            argmax[len(pooled), d, row, column] = (image, d, *best)
            pooled.append(output)
    return torch.stack(pooled), argmax


def random_rois(count, width, height, generator):
    corners = torch.rand(2, count, 4, generator=generator)
    x, y = corners[..., :2] * width, corners[..., 2:] * height
    return torch.stack([x.amin(-1), y.amin(-1), x.amax(-1), y.amax(-1)], -1).double()


@pytest.mark.parametrize("size", [2, 3, 7])
def test_forward_and_backward_are_the_papers(size):
    """dL/dx_i sums dL/dy_rj over all RoIs r and cells j whose maximum x_i is (2.3, eq. 4)."""
    source = torch.Generator().manual_seed(size)
    features = torch.rand(2, 3, 9, 11, generator=source, dtype=torch.float64).requires_grad_()
    rois = random_rois(12, 11 * 16, 9 * 16, source)
    pooled = pool_rois(features, rois, "pool", size, 16)
    wanted, argmax = reference(features.detach(), rois, size, 16)
    assert torch.equal(pooled, wanted)

    upstream = torch.rand(pooled.shape, generator=source, dtype=torch.float64)
    pooled.backward(upstream)
    gradient = torch.zeros_like(features)
    for output, cell in argmax.items():
        gradient[cell] += upstream[output]
    torch.testing.assert_close(features.grad, gradient)
    taken = list(argmax.values())
    assert max(map(taken.count, set(taken))) > 3  # RoIs overlap: a cell gets several gradients


def test_a_cell_that_is_no_maximum_gets_no_gradient():
    features = torch.tensor([[[[1.0, 5], [2, 3]]]]).requires_grad_()
    rois = torch.tensor([[[0.0, 0, 1, 1], [0, 0, 1, 1]]])
    pool_rois(features, rois, "pool", 1, 1).sum().backward()
    assert features.grad.flatten().tolist() == [0, 2, 0, 0]
