"""The stage's work: run both networks, measure, draw, write."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from components.dataset.index import Index, read_index
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
from components.scoring.average_precision import Evaluation, score_detections
from components.scoring.recall import RecallCounter
from components.tracking import Run


def run(stage: Evaluate, run: Run) -> None:
    """Evaluate the shared and the unshared network and write the stage's outputs.

    Raises:
        InputError: a checkpoint of other classes or parts than needed, or a split without objects.
    """
    index = read_index(stage.index)
    check_alike(read_checkpoint(stage.unshared_detector), read_checkpoint(stage.unshared_rpn))
    shared = open_network(stage.detector, index.classes, "rpn", "detector")
    unshared_rpn = open_network(stage.unshared_rpn, index.classes, "rpn")
    unshared = open_network(stage.unshared_detector, index.classes, "detector")
    counts = recall_counts(stage.proposals.post_nms)
    recalls = {name: RecallCounter(counts) for name in ("step1", "step3")}
    found = detect(pass_over_split(stage, index, shared), recalls["step3"])
    shared_scores = score_detections(index, stage.split, found)
    unshared_found = detect(pass_over_split(stage, index, unshared, unshared_rpn), recalls["step1"])
    unshared_scores = score_detections(index, stage.split, unshared_found)
    tables = {name: counter.table() for name, counter in recalls.items()}
    recall = ProposalRecall(counts, tables)
    metrics = all_metrics(shared_scores, unshared_scores, recall)
    write_metrics(stage.metrics, rounded(metrics))
    write_curves(stage.curves, {"shared": shared_scores, "unshared": unshared_scores}, recall)
    write_detections(stage.detections, found)
    show(stage, index, found, shared_scores, unshared_scores, recall)


def detect(network_pass: Iterable[Found], recall: RecallCounter) -> list[ImageDetections]:
    """The detections of a pass in the index's order; its proposals are counted and not kept."""
    detections = {}
    for found in network_pass:
        recall.add(found.image.boxes[~found.image.crowd], found.proposals.boxes)
        detections[found.row] = found.detections
    return [detections[row] for row in sorted(detections)]


def all_metrics(shared: Evaluation, unshared: Evaluation, recall: ProposalRecall) -> dict[str, Any]:
    """What metrics.json holds."""
    return {
        "shared": shared.metrics(),
        "unshared": unshared.metrics(),
        "recall": recall.metrics(),
    }


def show(
    stage: Evaluate,
    index: Index,
    found: Sequence[ImageDetections],
    shared: Evaluation,
    unshared: Evaluation,
    recall: ProposalRecall,
) -> None:
    """Draw the pictures and write the report."""
    images = [index.image(row) for row in index.rows(stage.split)]
    by_id = {detections.image_id: detections for detections in found}
    matched = [match(image, by_id[image.image_id]) for image in images]
    ranked = best_median_worst(matched, stage.pictures_each)
    pictures = write_pictures(stage.pictures, stage.data, ranked, index.classes)
    report = Report(stage.split, index, images, shared, unshared, recall, ranked, pictures)
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
