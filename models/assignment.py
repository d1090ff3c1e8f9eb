"""Assignment: which ground-truth box, if any, teaches an anchor or a RoI."""

import torch
from torch import Tensor

from models.boxes import pairwise_iou

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1
IOU_ELEMENTS = 1 << 24
"""IoU values held at a time: 64 MB, however many anchors and boxes there are."""


def best_match(boxes: Tensor, ground_truth: Tensor) -> tuple[Tensor, Tensor]:
    """The best ground-truth box of each box: IoU (B, N) and its index (B, N).

    Args:
        boxes: (B or 1, N, 4).
        ground_truth: (B, K, 4), padded with boxes without area.
    """
    chunks = [
        pairwise_iou(chunk, ground_truth).max(dim=2)
        for chunk in boxes.split(_chunk(ground_truth), dim=1)
    ]
    return torch.cat([c.values for c in chunks], 1), torch.cat([c.indices for c in chunks], 1)


def assign_anchors(
    anchors: Tensor,
    usable: Tensor,
    ground_truth: Tensor,
    positive_iou: float = 0.7,
    negative_iou: float = 0.3,
) -> tuple[Tensor, Tensor]:
    """Labels and matched ground truth of anchors (Faster R-CNN, 3.1.2).

    Positive: IoU >= positive_iou with some box, or the best usable anchor(s) of a box, ties
    included, where that best IoU is above 0 (without this last condition a box that no anchor
    touches turns every anchor without overlap positive, as in torchvision and py-faster-rcnn).
    Negative: IoU < negative_iou with every box. The rest, and unusable anchors: ignored.

    Args:
        anchors: (N, 4).
        usable: (B, N) bool, the anchors that may teach.
        ground_truth: (B, K, 4), padded with boxes without area.

    Returns:
        Labels (B, N) int8 of POSITIVE, NEGATIVE, IGNORED, and the index (B, N) of the matched
        box: an anchor's best box.
    """
    size = _chunk(ground_truth)
    chunks = list(zip(anchors.split(size), usable.split(size, dim=1), strict=True))

    def usable_iou(chunk: Tensor, mask: Tensor) -> Tensor:
        return pairwise_iou(chunk[None], ground_truth) * mask[..., None]

    best_of_box = torch.stack([usable_iou(*c).amax(dim=1) for c in chunks]).amax(dim=0)
    best_of_box = best_of_box.where(best_of_box > 0, torch.inf)[:, None, :]
    labels, matches = [], []
    for chunk, mask in chunks:
        iou = usable_iou(chunk, mask)
        best, match = iou.max(dim=2)
        positive = (best >= positive_iou) | (iou == best_of_box).any(dim=2)
        label = torch.where(best < negative_iou, NEGATIVE, IGNORED)
        label = label.masked_fill(positive, POSITIVE).masked_fill(~mask, IGNORED)
        labels.append(label.to(torch.int8))
        matches.append(match)
    return torch.cat(labels, dim=1), torch.cat(matches, dim=1)


def _chunk(ground_truth: Tensor) -> int:
    """Boxes to compare with all ground truth at once."""
    return max(1, IOU_ELEMENTS // (ground_truth.shape[0] * ground_truth.shape[1]))
