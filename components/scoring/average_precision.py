"""Average precision of detections: COCO's, and Pascal VOC's two from the same matches.

COCO's figures come from pycocotools' COCOeval, unchanged; it matches some images at a time, so
that its dictionaries are not held for all. A crowd region (COCO ``iscrowd``) swallows every
detection that lies in it by half its own area. An object that VOC calls ``difficult`` swallows
only detections that overlap it by IoU, as in VOC's devkit. Neither counts as an object to be
found.

The areas behind APs, APm and APl are those of the boxes (COCO's own are of the masks). VOC's
two figures use COCO's matching: a detection takes the best object still free, where VOC's
devkit calls it wrong if the best object of all is taken; the two differ by doubled detections
of objects that overlap each other.
"""

import io
import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from components.dataset.index import Index
from components.errors import InputError

if TYPE_CHECKING:
    from components.networks.inference import ImageDetections

BLOCK = 100
"""Images whose boxes and detections are COCO's dictionaries at a time: about 1 kB a box."""

Matches = dict[str, np.ndarray]
"""What COCOeval found for one class and area range: dtScores (D,), dtMatches and dtIgnore
(IoUs, D), gtIgnore (G,), the last three bool."""

RECALLS = np.arange(101) / 100
"""The recalls at which COCO reads precision off the curve."""


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class: its number of objects, its figures, and precision (101,) at `RECALLS`, IoU 0.5."""

    name: str
    objects: int
    metrics: dict[str, float]
    precision: np.ndarray


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The scores of one network on one split; classes without objects there are left out."""

    summary: dict[str, float]
    classes: list[ClassScore]

    def metrics(self) -> dict[str, Any]:
        """The summary, and under ``class`` each class's figures by `metric_name`."""
        names = unique_metric_names([c.name for c in self.classes])
        by_class = {name: c.metrics for name, c in zip(names, self.classes, strict=True)}
        return self.summary | {"class": by_class}


def coco_metrics(
    index: Index, split: str, detections: "Sequence[ImageDetections]"
) -> dict[str, Any]:
    """Score detections against one split: ``AP``, ``AP50``, ... and ``class`` (nested).

    Figures lie in [0, 1]. A figure without objects to measure it on (say APs where no object is
    small) is left out. Raises as `score_detections` does.
    """
    return score_detections(index, split, detections).metrics()


def score_detections(
    index: Index, split: str, detections: "Sequence[ImageDetections]"
) -> Evaluation:
    """Score detections against the true boxes of one split; images not named count as empty.

    Raises:
        InputError: the split has no images, or no object to find in any of them.
        ValueError: detections of an image that is not in the split.
    """
    ids = index.table["image_id"].to_numpy()
    rows = index.rows(split)
    by_id = {image.image_id: image for image in detections}
    if unknown := by_id.keys() - set(ids[rows].tolist()):
        raise ValueError(f"detections of images that are not in the split: {sorted(unknown)[:5]}")
    rows = rows[np.argsort(ids[rows], kind="stable")]  # COCOeval's order, which decides ties
    blocks = []
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        found = [by_id[n] for n in ids[block].tolist() if n in by_id]
        blocks.append(match_block(index, block, found))
    evaluation = accumulate(blocks, len(index.classes))
    stats = summary(evaluation)
    if "AR100" not in stats:
        raise InputError(
            f"split '{split}' has no object to score detections on; annotate at least one "
            "of its images, or name another split"
        )
    classes = [
        score
        for position, name in enumerate(index.classes)
        if (score := class_score(evaluation, position, name)) is not None
    ]
    for name in ("AP50_all_points", "AP50_11_point"):
        stats[name] = float(np.mean([c.metrics[name] for c in classes]))
    return Evaluation(stats, classes)


def ground_truth(index: Index, rows: np.ndarray) -> dict[str, Any]:
    """Some rows in COCO's annotation layout, in memory; annotation ids start at 1.

    (COCOeval takes an annotation with id 0 for unmatched.)
    """
    images = [index.image(row) for row in rows]
    annotations = [
        annotation(image.image_id, box, label, crowd=crowd)
        for image in images
        for box, label, crowd in zip(image.boxes, image.labels, image.crowd, strict=True)
    ]
    return {
        "images": [{"id": image.image_id} for image in images],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(index.classes)],
        "annotations": [a | {"id": i + 1} for i, a in enumerate(annotations)],
    }


def results(detections: "Sequence[ImageDetections]") -> list[dict[str, Any]]:
    """Detections in COCO's annotation layout, with ids from 1."""
    found = [
        annotation(image.image_id, box, label) | {"score": float(score)}
        for image in detections
        for box, label, score in zip(image.boxes, image.labels, image.scores, strict=True)
    ]
    return [a | {"id": i + 1} for i, a in enumerate(found)]


def annotation(image_id: int, box: np.ndarray, label: int, crowd: bool = False) -> dict[str, Any]:
    """One box in COCO's terms: ``bbox`` is x y width height, ``category_id`` our label 1..C."""
    x1, y1, x2, y2 = (float(v) for v in box)
    return {
        "image_id": image_id,
        "category_id": int(label),
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (x2 - x1) * (y2 - y1),
        "iscrowd": int(crowd),
    }


class VocEvaluation(COCOeval):
    """COCOeval in which objects to be ignored (VOC ``difficult``) overlap by plain IoU."""

    def computeIoU(self, imgId: int, catId: int) -> np.ndarray | list[Any]:  # noqa: N802, N803
        """IoU (D, G) of one image's detections, by falling score, with its objects."""
        truth, found = self._gts[imgId, catId], self._dts[imgId, catId]
        found = sorted(found, key=lambda d: -d["score"])[: self.params.maxDets[-1]]
        boxes = [d["bbox"] for d in found]
        return mask.iou(boxes, [g["bbox"] for g in truth], [0] * len(truth))


def match_block(
    index: Index, rows: np.ndarray, detections: "Sequence[ImageDetections]"
) -> list[Matches | None]:
    """COCOeval's matches in the images of some rows, by class and then by area range.

    Those of all images are joined, which COCOeval does itself when it accumulates; None where
    there is neither an object nor a detection.
    """
    truth = ground_truth(index, rows)
    with redirect_stdout(io.StringIO()):
        truth_api, found_api = COCO(), COCO()
        truth_api.dataset = truth
        found_api.dataset = truth | {"annotations": results(detections)}
        truth_api.createIndex()
        found_api.createIndex()
        evaluator = VocEvaluation if index.layout == "voc" else COCOeval
        evaluation = evaluator(truth_api, found_api, "bbox")
        evaluation.evaluate()
    by_image, images = evaluation.evalImgs, len(rows)
    return [
        joined([matches for matches in by_image[start : start + images] if matches is not None])
        for start in range(0, len(by_image), images)
    ]


def joined(matches: list[Matches]) -> Matches | None:
    """COCOeval's matches of several images as if they were one image's, without the ids."""
    if not matches:
        return None
    return {
        "dtScores": np.concatenate([m["dtScores"] for m in matches]),
        "dtMatches": np.concatenate([m["dtMatches"] > 0 for m in matches], axis=1),
        "dtIgnore": np.concatenate([m["dtIgnore"] for m in matches], axis=1).astype(bool),
        "gtIgnore": np.concatenate([m["gtIgnore"] for m in matches]).astype(bool),
    }


def accumulate(blocks: list[list[Matches | None]], classes: int) -> COCOeval:
    """COCOeval's precision and recall from the matches of all blocks, each taken for an image.

    `match_block` has cut the detections to 100 an image and class; nothing is cut here.
    """
    evaluation = COCOeval(iouType="bbox")
    evaluation.params.imgIds = list(range(len(blocks)))
    evaluation.params.catIds = list(range(1, classes + 1))
    evaluation.params.maxDets = [sys.maxsize]
    evaluation._paramsEval = evaluation.params
    evaluation.evalImgs = [matches for place in zip(*blocks, strict=True) for matches in place]
    with redirect_stdout(io.StringIO()):
        evaluation.accumulate()
    return evaluation


def summary(evaluation: COCOeval) -> dict[str, float]:
    """The figures of COCOeval's summary, as it takes their means; without those it has none for."""
    # (IoU, recall, class, area range), (IoU, class, area range); -1 where nothing is measured
    precision, recall = (evaluation.eval[name][..., 0] for name in ("precision", "recall"))
    values = {
        "AP": precision[..., 0],
        "AP50": precision[0, ..., 0],
        "AP75": precision[5, ..., 0],
        "APs": precision[..., 1],
        "APm": precision[..., 2],
        "APl": precision[..., 3],
        "AR100": recall[..., 0],
    }
    measured = {name: value[value > -1] for name, value in values.items()}
    return {name: float(value.mean()) for name, value in measured.items() if len(value)}


def class_score(evaluation: COCOeval, position: int, name: str) -> ClassScore | None:
    """The figures of the class at `position` in the class list, or None without objects."""
    # (IoU, recall, class, area range, max detections) -> all areas, 100 detections
    precision = evaluation.eval["precision"][:, :, position, 0, -1]
    correct, objects = matches(evaluation, position)
    if not objects:
        return None
    recall, raw_precision = precision_recall(correct, objects)
    metrics = {
        "AP": float(precision.mean()),
        "AP50": float(precision[0].mean()),
        "AP75": float(precision[5].mean()),
        "AP50_all_points": all_points(recall, raw_precision),
        "AP50_11_point": eleven_point(recall, raw_precision),
    }
    return ClassScore(name, objects, metrics, precision[0])


def matches(evaluation: COCOeval, position: int) -> tuple[np.ndarray, int]:
    """COCOeval's matches at IoU 0.5, all areas, for one class.

    Returns:
        For each detection that counts, by falling score, whether it is correct (D,) bool; and
        the number of objects to find.
    """
    blocks, areas = len(evaluation.params.imgIds), len(evaluation.params.areaRng)
    start = position * areas * blocks
    found = [e for e in evaluation.evalImgs[start : start + blocks] if e is not None]
    scores = np.concatenate([e["dtScores"] for e in found] or [[]])
    matched = np.concatenate([e["dtMatches"][0] for e in found] or [np.empty(0, bool)])
    ignored = np.concatenate([e["dtIgnore"][0] for e in found] or [np.empty(0, bool)])
    objects = sum(int((~e["gtIgnore"]).sum()) for e in found)
    order = np.argsort(-scores, kind="stable")
    return matched[order][~ignored[order]], objects


def precision_recall(correct: np.ndarray, objects: int) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision (D,) after each detection, from `correct` (D,) by falling score."""
    true_positives = np.cumsum(correct)
    return true_positives / objects, true_positives / np.arange(1, len(correct) + 1)


def all_points(recall: np.ndarray, precision: np.ndarray) -> float:
    """Area under the curve of highest precision at this recall or more (VOC 2010 and later).

    Recall (D,) does not fall; the curve is 0 beyond its last value.
    """
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def eleven_point(recall: np.ndarray, precision: np.ndarray) -> float:
    """Mean over the recalls 0, 0.1, ... 1 of the highest precision there or beyond (VOC 2007)."""
    highest = [precision[recall >= i / 10].max(initial=0.0) for i in range(11)]
    return float(np.mean(highest))


def metric_name(text: str) -> str:
    """A class name as part of a metric's name: MLflow refuses most signs, ``.`` separates."""
    return re.sub(r"[^\w\- ]", "_", text).strip()[:100] or "_"


def unique_metric_names(names: Sequence[str]) -> list[str]:
    """`metric_name` of each, numbered from the second on where two classes would share one."""
    unique: list[str] = []
    for name in map(metric_name, names):
        candidate, number = name, 1
        while candidate in unique:
            number += 1
            candidate = f"{name}_{number}"
        unique.append(candidate)
    return unique
