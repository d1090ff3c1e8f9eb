"""The stage's work: run the networks, measure, draw, write."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.dataset.index import Index, read_index
from components.errors import InputError
from components.evaluate import Evaluate
from components.evaluate.curves import write_curves
from components.evaluate.passes import Found, pass_over_split
from components.evaluate.pictures import write_pictures
from components.evaluate.proposal_recall import ProposalRecall, recall_counts
from components.evaluate.ranking import best_median_worst, match
from components.evaluate.report import Report, write_report
from components.metrics import write_metrics
from components.networks.checkpoint import check_alike, open_network, read_checkpoint
from components.networks.inference import ImageDetections
from components.networks.scale import scale_metric
from components.scoring.average_precision import Evaluation, score_detections
from components.scoring.recall import RecallCounter
from components.tracking import Run
from models.faster_rcnn import FasterRCNN
from models.parameters import InputParameters


def run(stage: Evaluate, run: Run) -> None:
    """Evaluate the shared network, and the unshared one if there is one; write the outputs.

    Raises:
        InputError: a checkpoint of other classes or parts than needed, a split without objects, or
            both proposals and an unshared RPN are given.
    """
    if stage.given_proposals and stage.unshared_rpn:
        raise InputError("given_proposals, unshared_rpn: give one; both say what is proposed")
    index = read_index(stage.index)
    parts = ("detector",) if stage.given_proposals else ("rpn", "detector")
    shared = open_network(stage.detector, index.classes, *parts)
    passes = {"shared": pass_over_split(stage, index, shared)}
    if stage.unshared_rpn and stage.unshared_detector:
        unshared = open_unshared(stage.unshared_rpn, stage.unshared_detector, index)
        passes["unshared"] = pass_over_split(stage, index, *unshared)
    counts = recall_counts(stage.proposals.post_nms)
    recalls = {name: RecallCounter(counts) for name in passes}
    found = detect(passes["shared"], recalls["shared"])
    scores = {"shared": score_detections(index, stage.split, found)}
    if "unshared" in passes:
        unshared_found = detect(passes["unshared"], recalls["unshared"])
        scores["unshared"] = score_detections(index, stage.split, unshared_found)
    recall = ProposalRecall(counts, {name: counter.table() for name, counter in recalls.items()})
    trained = shared.architecture.input
    rule = trained.at(stage.scale)
    write_metrics(stage.metrics, rounded(all_metrics(scores, recall)) | scale_metric(trained, rule))
    write_curves(stage.curves, scores, recall)
    write_detections(stage.detections, found)
    show(stage, index, rule, found, scores, recall)


def open_unshared(rpn: Path, detector: Path, index: Index) -> tuple[FasterRCNN, FasterRCNN]:
    """Step 2's detector and step 1's RPN, each with its own convs.

    Raises:
        InputError: one is of other classes, lacks its part, or they differ in backbone or scale.
    """
    check_alike(read_checkpoint(detector), read_checkpoint(rpn))
    return (
        open_network(detector, index.classes, "detector"),
        open_network(rpn, index.classes, "rpn"),
    )


def detect(network_pass: Iterable[Found], recall: RecallCounter) -> list[ImageDetections]:
    """The detections of a pass in the index's order; its proposals are counted and not kept."""
    detections = {}
    for found in network_pass:
        recall.add(found.image.boxes[~found.image.crowd], found.proposals.boxes)
        detections[found.row] = found.detections
    return [detections[row] for row in sorted(detections)]


def all_metrics(scores: Mapping[str, Evaluation], recall: ProposalRecall) -> dict[str, Any]:
    """What metrics.json holds."""
    return {name: each.metrics() for name, each in scores.items()} | {"recall": recall.metrics()}


def show(
    stage: Evaluate,
    index: Index,
    rule: InputParameters,
    found: Sequence[ImageDetections],
    scores: Mapping[str, Evaluation],
    recall: ProposalRecall,
) -> None:
    """Draw the pictures and write the report."""
    images = [index.image(row) for row in index.rows(stage.split)]
    by_id = {detections.image_id: detections for detections in found}
    matched = [match(image, by_id[image.image_id]) for image in images]
    ranked = best_median_worst(matched, stage.pictures_each)
    pictures = write_pictures(stage.pictures, stage.data, ranked, index.classes)
    compared = scores["shared"], scores.get("unshared")
    report = Report(stage.split, index, rule, images, *compared, recall, ranked, pictures)
    write_report(stage.report, report)


def write_detections(path: Path, found: Sequence[ImageDetections]) -> None:
    """Write detections as COCO results, one a line; ``category_id`` is the label 1..C."""
    with path.open("w", encoding="utf-8") as file:
        file.write("[\n")
        separator = ""
        for line in detection_lines(found):
            file.write(separator + line)
            separator = ",\n"
        file.write("\n]\n")


def detection_lines(found: Sequence[ImageDetections]) -> Iterator[str]:
    """Each detection as a COCO result in JSON."""
    for image in found:
        for box, label, score in zip(image.boxes, image.labels, image.scores, strict=True):
            yield json.dumps(
                {
                    "image_id": image.image_id,
                    "category_id": int(label),
                    "bbox": [round(float(v), 3) for v in (*box[:2], *(box[2:] - box[:2]))],
                    "score": round(float(score), 6),
                }
            )


def rounded(values: dict[str, Any]) -> dict[str, Any]:
    """The same nested dictionary with its numbers rounded to six decimals."""
    return {k: rounded(v) if isinstance(v, dict) else round(v, 6) for k, v in values.items()}
