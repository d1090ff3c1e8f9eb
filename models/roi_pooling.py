"""Reading RoIs from a feature map: RoI max pooling (Fast R-CNN, 2.1) or RoIAlign."""

import torch
from torch import Tensor
from torchvision.ops import roi_align, roi_pool

from models.parameters import RoIOperator


def pool_rois(
    features: Tensor, rois: Tensor, operator: RoIOperator, size: int, stride: int
) -> Tensor:
    """Features of RoIs: (B * R, D, size, size).

    Args:
        features: (B, D, H, W).
        rois: (B, R, 4) in input pixels.
        operator: ``pool`` takes the maximum of each of size x size sub-windows; ``align``
            averages bilinear samples at exact positions.
        size: side of the pooled grid.
        stride: input pixels a feature cell.
    """
    batch, count = rois.shape[:2]
    image = torch.arange(batch, device=rois.device, dtype=rois.dtype)
    image = image[:, None, None].expand(batch, count, 1)
    flat = torch.cat([image, rois], dim=-1).reshape(-1, 5).to(features.dtype)
    if operator == "pool":
        return roi_pool(features, flat, size, 1 / stride)
    return roi_align(features, flat, size, 1 / stride, sampling_ratio=2, aligned=True)
