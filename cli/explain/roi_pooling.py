"""What RoI pooling reads of a feature map, and where its gradient goes (Fast R-CNN, 2.1, 2.3)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.boxes import box_area
from models.fast_rcnn import FastRCNN
from models.roi_pooling import pool_rois


@dataclass(frozen=True, slots=True)
class PooledRoI:
    """One RoI of one image, read by RoI max pooling to s x s sub-windows.

    roi (4,) in input pixels; stride: input pixels a cell; channel: the one that is shown;
    cells (H, W): the map's values in it; windows (s, s, H, W) bool: the cells of each sub-window;
    pooled (s, s): their maxima; gradient (H, W): the sub-windows whose maximum each cell is, and
    so how often it gets a gradient; aligned (s, s): what RoIAlign gives, if the network uses it.
    """

    roi: Tensor
    stride: int
    channel: int
    cells: Tensor
    windows: Tensor
    pooled: Tensor
    gradient: Tensor
    aligned: Tensor | None


def pooled_roi(detector: FastRCNN, features: Tensor, roi: Tensor) -> PooledRoI:
    """Pool a RoI (4,) from features (1, D, H, W) and show the channel strongest in it."""
    size, stride, rois = detector.roi.size, detector.stride, roi[None, None]
    maxima = pool_rois(features, rois, "pool", size, stride)[0]
    channel = int(maxima.mean(dim=(1, 2)).argmax())
    cells = features[:, channel : channel + 1].clone().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(pool_rois(cells, rois, "pool", size, stride).sum(), cells)
    align = detector.roi.operator == "align"
    return PooledRoI(
        roi=roi,
        stride=stride,
        channel=channel,
        cells=features[0, channel],
        windows=sub_windows(features, roi, size, stride),
        pooled=maxima[channel],
        gradient=gradient[0, 0],
        aligned=pool_rois(cells.detach(), rois, "align", size, stride)[0, 0] if align else None,
    )


def sub_windows(features: Tensor, roi: Tensor, size: int, stride: int) -> Tensor:
    """The cells that RoI max pooling reads for each sub-window: (size, size, H, W) bool.

    Pooling itself tells: of a map with a channel for each row and for each column, which is 1 there
    and 0 elsewhere, it gives the rows and the columns of each sub-window.
    """
    height, width = features.shape[-2:]
    rows = torch.eye(height)[:, :, None].expand(-1, -1, width)
    columns = torch.eye(width)[:, None, :].expand(-1, height, -1)
    own = torch.cat([rows, columns])[None]
    read = pool_rois(own, roi[None, None], "pool", size, stride)[0].permute(1, 2, 0) > 0
    of_rows, of_columns = read.split([height, width], dim=2)
    return of_rows[..., :, None] & of_columns[..., None, :]


def largest(boxes: Tensor) -> Tensor:
    """The largest of boxes (N, 4), whose sub-windows are seen best: (4,)."""
    return boxes[box_area(boxes).argmax()]
