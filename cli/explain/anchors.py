"""Anchors and what assignment makes of them (Faster R-CNN, 3.1.1 and 3.1.2)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.anchors import inside_image
from models.assignment import IGNORED, NEGATIVE, POSITIVE, assign_anchors, best_match
from models.boxes import box_area, decode_boxes, encode_boxes
from models.parameters import AnchorParameters, RPNTargetParameters
from models.rpn import RPN

KINDS = ("positive", "negative", "ignored", "crossing")
"""What becomes of an anchor; one that crosses the image's border is ignored whatever its IoU."""


@dataclass(frozen=True, slots=True)
class Anchors:
    """All anchors of an image, in the order of the RPN's outputs.

    boxes (N, 4) in input pixels; inside (N,) bool; rows, columns: of the feature map; stride:
    input pixels a cell; parameters: scales and ratios.
    """

    boxes: Tensor
    inside: Tensor
    rows: int
    columns: int
    stride: int
    parameters: AnchorParameters

    @property
    def each(self) -> int:
        """A, anchors a cell."""
        return len(self.parameters.scales) * len(self.parameters.ratios)

    def of_cell(self, row: int, column: int) -> Tensor:
        """The anchors (A, 4) of a cell."""
        return self.boxes.reshape(self.rows, self.columns, self.each, 4)[row, column]


@dataclass(frozen=True, slots=True)
class Labels:
    """What the anchors (N,) teach: label, index of the best ground-truth box, and its IoU."""

    labels: Tensor
    matches: Tensor
    iou: Tensor

    def of_kind(self, anchors: Anchors, kind: str) -> Tensor:
        """Which anchors (N,) are of one of `KINDS`."""
        if kind == "crossing":
            return ~anchors.inside
        label = {"positive": POSITIVE, "negative": NEGATIVE, "ignored": IGNORED}[kind]
        return (self.labels == label) & anchors.inside


@dataclass(frozen=True, slots=True)
class AnchorExample:
    """One positive anchor with its ground truth, all boxes (4,) in input pixels.

    target: t*, the deltas (4,) of the ground truth; predicted: t, those that the RPN predicts;
    moved: the anchor moved by t; score: the RPN's, from 0 to 1.
    """

    anchor: Tensor
    truth: Tensor
    iou: float
    target: Tensor
    predicted: Tensor
    moved: Tensor
    score: float


def grid(rpn: RPN, features: Tensor, sizes: Tensor, parameters: AnchorParameters) -> Anchors:
    """The anchors of one image's features (1, D, H, W); sizes (1, 2); parameters: the RPN's."""
    boxes = rpn.anchors(features)
    rows, columns = features.shape[-2:]
    return Anchors(boxes, inside_image(boxes, sizes)[0], rows, columns, rpn.stride, parameters)


def label_anchors(anchors: Anchors, truth: Tensor, targets: RPNTargetParameters) -> Labels:
    """Label an image's anchors by its boxes (1, K, 4), as a training step does."""
    labels, matches = assign_anchors(
        anchors.boxes, anchors.inside[None], truth, targets.positive_iou, targets.negative_iou
    )
    iou, _ = best_match(anchors.boxes[None], truth)
    return Labels(labels[0], matches[0], iou[0])


def example(
    anchors: Anchors, labels: Labels, truth: Tensor, logits: Tensor, deltas: Tensor
) -> AnchorExample | None:
    """The largest box's positive anchor with the lowest IoU, which has the longest way to go.

    Args:
        anchors, labels: of the image.
        truth: (1, K, 4).
        logits, deltas: (1, N) and (1, N, 4), the RPN's outputs.

    Returns:
        None if no anchor is positive.
    """
    positive = (labels.labels == POSITIVE).nonzero().squeeze(1)
    if not len(positive):
        return None
    area = box_area(truth[0, labels.matches[positive]])
    largest = positive[area == area.max()]
    n = largest[labels.iou[largest].argmin()]
    anchor, box = anchors.boxes[n], truth[0, labels.matches[n]]
    return AnchorExample(
        anchor=anchor,
        truth=box,
        iou=float(labels.iou[n]),
        target=encode_boxes(box, anchor),
        predicted=deltas[0, n],
        moved=decode_boxes(deltas[0, n], anchor),
        score=float(torch.sigmoid(logits[0, n])),
    )
