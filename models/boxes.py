"""Box geometry. Boxes are (..., 4) as x1 y1 x2 y2 in pixels, x2 and y2 exclusive."""

import math

import torch
from torch import Tensor

MAX_LOG_SCALE = math.log(1000 / 16)
"""Limit of tw and th when decoding, so that exp() cannot overflow (py-faster-rcnn and others)."""


def box_area(boxes: Tensor) -> Tensor:
    """Areas (...,) of boxes (..., 4), in square pixels."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union (B, N, M) of boxes a (B or 1, N, 4) and b (B, M, 4).

    A box without area has IoU 0 with everything, so padding needs no mask.
    """
    low = torch.maximum(a[..., :, None, :2], b[..., None, :, :2])
    high = torch.minimum(a[..., :, None, 2:], b[..., None, :, 2:])
    side = (high - low).clamp(min=0)
    intersection = side[..., 0] * side[..., 1]
    union = box_area(a)[..., :, None] + box_area(b)[..., None, :] - intersection
    return intersection / union.clamp(min=torch.finfo(union.dtype).tiny)


def centers_and_sizes(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Centres (..., 2) and sizes (..., 2) of boxes (..., 4)."""
    size = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + 0.5 * size, size


def encode_boxes(boxes: Tensor, references: Tensor) -> Tensor:
    """Box deltas (..., 4) as tx ty tw th of boxes relative to references (Faster R-CNN, eq. 2).

    References are anchors for the RPN, proposals for the detector. Sides are taken as at least
    one thousandth of a pixel: padding without area then gives finite values.
    """
    center, size = centers_and_sizes(boxes)
    reference_center, reference_size = centers_and_sizes(references)
    size, reference_size = size.clamp(min=1e-3), reference_size.clamp(min=1e-3)
    return torch.cat(
        [(center - reference_center) / reference_size, torch.log(size / reference_size)], dim=-1
    )


def decode_boxes(deltas: Tensor, references: Tensor) -> Tensor:
    """Boxes (..., 4) from box deltas relative to references: the inverse of `encode_boxes`."""
    reference_center, reference_size = centers_and_sizes(references)
    center = reference_center + deltas[..., :2] * reference_size
    half = 0.5 * reference_size * torch.exp(deltas[..., 2:].clamp(max=MAX_LOG_SCALE))
    return torch.cat([center - half, center + half], dim=-1)


def clip_boxes(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Boxes (B, N, 4) cut at the borders of their images; sizes (B, 2) are height and width."""
    height, width = sizes[:, None, 0:1].to(boxes), sizes[:, None, 1:2].to(boxes)
    limit = torch.cat([width, height, width, height], dim=-1)
    return torch.minimum(boxes.clamp(min=0), limit)


def flip_boxes(boxes: Tensor, width: float) -> Tensor:
    """Boxes (..., 4) mirrored left to right in an image of the given width."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([width - x2, y1, width - x1, y2], dim=-1)


def take_rows(values: Tensor, index: Tensor) -> Tensor:
    """Rows (B, K, D) of values (B, N, D) at index (B, K)."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))
