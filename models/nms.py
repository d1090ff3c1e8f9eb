"""Non-maximum suppression over a batch, in one call and with fixed shapes."""

import torch
from torch import Tensor
from torchvision.ops import nms


def batched_nms_mask(
    boxes: Tensor, scores: Tensor, groups: Tensor, valid: Tensor, iou_threshold: float
) -> Tensor:
    """Which boxes survive NMS within their group: (B, N) bool.

    Groups (and images) are kept apart by moving each to coordinates of its own; this is what
    exports to ONNX with any batch size.

    Args:
        boxes: (B, N, 4), non-negative coordinates.
        scores: (B, N), at least 0 where valid.
        groups: (B, N) int64 in [0, G), for instance the class.
        valid: (B, N) bool; others neither survive nor suppress.
        iou_threshold: IoU above which the lower-scored box is suppressed.
    """
    batch, count = scores.shape
    flat = boxes.reshape(-1, 4)
    image = torch.arange(batch, device=boxes.device)[:, None] * (groups.max() + 1)
    offset = (image + groups).reshape(-1, 1) * (flat.max() + 1)
    ranked = scores.masked_fill(~valid, -1.0).reshape(-1)
    kept = nms(flat + offset, ranked, iou_threshold)
    mask = torch.zeros(batch * count, dtype=torch.bool, device=boxes.device)
    mask = mask.scatter(0, kept, torch.ones_like(kept, dtype=torch.bool))
    return mask.reshape(batch, count) & valid
