"""Which images the network does best and worst on.

An image's figure is F1 = 2 TP / (2 TP + FP + FN) over its detections with a score of at least
`SCORE`, matched to the true boxes of their class at IoU 0.5 or more, best score first. Average
precision would not do: it says nothing about an image without objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from components.dataset.index import Image
from components.scoring.box_iou import box_coverage, box_iou

if TYPE_CHECKING:
    from components.networks.inference import ImageDetections

SCORE = 0.5
"""Detections that score less are neither ranked by nor drawn."""

IOU = 0.5
"""Overlap at which a detection finds an object."""


@dataclass(frozen=True, slots=True)
class Matched:
    """One image and its detections of at least `SCORE`, matched.

    boxes (D, 4), scores (D,), labels (D,) by falling score; correct (D,) bool; found (K,) bool
    for the image's true boxes, crowd boxes included.
    """

    image: Image
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    correct: np.ndarray
    found: np.ndarray

    @property
    def objects(self) -> int:
        """Number of true boxes to find: all but the crowd's."""
        return int((~self.image.crowd).sum())

    @property
    def missed(self) -> int:
        """Number of true boxes that no detection found."""
        return int((~self.found & ~self.image.crowd).sum())

    @property
    def wrong(self) -> int:
        """Number of detections that found nothing."""
        return int((~self.correct).sum())

    @property
    def f1(self) -> float:
        """F1 of the image; 1 if there is nothing to find and nothing was found."""
        total = len(self.correct) + self.objects
        return 2 * int(self.correct.sum()) / total if total else 1.0


def match(image: Image, detections: "ImageDetections") -> Matched:
    """Match an image's detections to its true boxes.

    A detection that found nothing but lies in a crowd box, by half its area, is left out.
    """
    order = np.argsort(-detections.scores, kind="stable")
    order = order[detections.scores[order] >= SCORE]
    boxes, labels = detections.boxes[order], detections.labels[order]
    same_class = labels[:, None] == image.labels[None, :]
    overlaps = box_iou(boxes, image.boxes) * same_class
    correct = np.zeros(len(boxes), bool)
    found = np.zeros(len(image.boxes), bool)
    for d in range(len(boxes)):
        free = np.where(found | image.crowd, 0.0, overlaps[d])
        if free.max(initial=0.0) >= IOU:
            found[free.argmax()] = correct[d] = True
    in_crowd = (box_coverage(boxes, image.boxes) * same_class * image.crowd >= 0.5).any(axis=1)
    keep = correct | ~in_crowd
    scores = detections.scores[order]
    return Matched(image, boxes[keep], scores[keep], labels[keep], correct[keep], found)


def best_median_worst(matched: Sequence[Matched], count: int) -> dict[str, list[Matched]]:
    """The `count` images with the highest, middle and lowest F1; ties go by image id.

    Images without objects are ranked only if no image has any. No image appears twice, so a
    small split gives fewer.
    """
    ranked = [m for m in matched if m.objects] or list(matched)
    ranked.sort(key=lambda m: (-m.f1, m.image.image_id))
    best = ranked[:count]
    rest = ranked[len(best) :]
    worst = rest[::-1][:count]
    rest = rest[: len(rest) - len(worst)]
    start = max(0, (len(rest) - count) // 2)
    return {"best": best, "median": rest[start : start + count], "worst": worst}
