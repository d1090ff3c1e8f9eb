"""Reading RoIs from a feature map: RoI max pooling (Fast R-CNN, 2.1) or RoIAlign."""

from torch import Tensor
from torchvision.ops import roi_pool

from models.parameters import RoIOperator
from models.roi_align import roi_align, with_image


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
    features = features.to(rois.dtype)  # and not the other way round: bfloat16 counts pixels by 4
    if operator == "pool":
        return roi_pool(features, with_image(rois), size, 1 / stride)
    return roi_align(features, rois, size, 1 / stride)
