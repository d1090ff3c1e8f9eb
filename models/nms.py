"""Non-maximum suppression over a batch, with fixed shapes."""

import torch
from torch import Tensor
from torchvision.ops import nms


def batched_nms_mask(
    boxes: Tensor, scores: Tensor, groups: Tensor, valid: Tensor, iou_threshold: float, most: int
) -> Tensor:
    """Which boxes survive NMS within their image and group: (B, N) bool.

    Groups are kept apart by moving each to coordinates of its own.

    Args:
        boxes: (B, N, 4), non-negative coordinates.
        scores: (B, N), at least 0 where valid.
        groups: (B, N) int64 in [0, G), for instance the class.
        valid: (B, N) bool; others neither survive nor suppress.
        iou_threshold: IoU above which the lower-scored box is suppressed.
        most: survivors an image; of more, those with the best scores.
    """
    offset = groups[..., None] * (boxes.max() + 1)
    return nms_mask(boxes + offset, scores.masked_fill(~valid, -1.0), iou_threshold, most)


def nms_mask(boxes: Tensor, scores: Tensor, iou_threshold: float, most: int) -> Tensor:
    """Which boxes (B, N, 4) of non-negative scores (B, N) survive NMS in their image: (B, N) bool.

    An operator of its own, as ONNX's is: both go through the images one by one. In one call for
    all of them, kept apart by their coordinates, each box would be compared with all images'.
    """
    found: Tensor = torch.ops.fourstep.nms_mask(boxes, scores, iou_threshold, most)
    return found


# `torch.library.custom_op` would import torch._dynamo, as long as torch's import.
torch.library.define(
    "fourstep::nms_mask",
    "(Tensor boxes, Tensor scores, float iou_threshold, int most) -> Tensor",
)


@torch.library.impl("fourstep::nms_mask", "default")
def _each_image(boxes: Tensor, scores: Tensor, iou_threshold: float, most: int) -> Tensor:
    mask = torch.zeros_like(scores, dtype=torch.bool)
    for image in range(boxes.shape[0]):
        rows = (scores[image] >= 0).nonzero().squeeze(1)
        rows = rows[scores[image, rows].argsort(descending=True, stable=True)]
        kept = first_survivors(boxes[image, rows], scores[image, rows], iou_threshold, most)
        mask[image, rows[kept]] = True
    return mask


@torch.library.register_fake("fourstep::nms_mask")
def _shape(boxes: Tensor, scores: Tensor, iou_threshold: float, most: int) -> Tensor:
    return torch.empty_like(scores, dtype=torch.bool)


def first_survivors(boxes: Tensor, scores: Tensor, iou_threshold: float, most: int) -> Tensor:
    """Indices of the first ``most`` survivors of NMS over boxes (N, 4) whose scores (N,) fall.

    A box is suppressed by better ones only, so NMS over the best boxes alone finds the first
    survivors of all of them. Its time grows with the square of their number.
    """
    count = 2 * most
    while True:
        kept = nms(boxes[:count], scores[:count], iou_threshold)
        if len(kept) >= most or count >= len(boxes):
            return kept[:most]
        count *= 2
