"""Anchors: reference boxes on the cells of a feature map (Faster R-CNN, 3.1.1)."""

import torch
from torch import Tensor

from models.parameters import AnchorParameters


def cell_anchors(parameters: AnchorParameters) -> Tensor:
    """The anchors of one cell, centred on the origin: (A, 4), ratios varying slowest.

    An anchor of scale s and ratio r has the area (base_size s)^2 and the sides
    base_size s / sqrt(r) and base_size s sqrt(r).
    """
    scales = torch.tensor(parameters.scales) * parameters.base_size
    ratios = torch.tensor(parameters.ratios).sqrt()
    width = (scales[None, :] / ratios[:, None]).flatten()
    height = (scales[None, :] * ratios[:, None]).flatten()
    return torch.stack([-width, -height, width, height], dim=1) / 2


def grid_anchors(cells: Tensor, height: int, width: int, stride: int) -> Tensor:
    """All anchors (height * width * A, 4) of a feature map, in input pixels.

    Ordered by row, column, anchor: as the RPN's outputs are. Cell (0, 0) is centred on
    (stride / 2, stride / 2).
    """
    x = (torch.arange(width, device=cells.device, dtype=cells.dtype) + 0.5) * stride
    y = (torch.arange(height, device=cells.device, dtype=cells.dtype) + 0.5) * stride
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    centers = torch.stack([grid_x, grid_y, grid_x, grid_y], dim=-1)
    return (centers[:, :, None, :] + cells).reshape(-1, 4)


def inside_image(anchors: Tensor, sizes: Tensor) -> Tensor:
    """Which anchors (N, 4) lie wholly inside each image: (B, N) bool; sizes (B, 2) are h, w.

    The others are ignored in training: with them it "does not converge" (Faster R-CNN, 3.3).
    """
    limit = sizes.flip(1).to(anchors)[:, None, :]
    return (anchors[None, :, :2] >= 0).all(-1) & (anchors[None, :, 2:] <= limit).all(-1)
