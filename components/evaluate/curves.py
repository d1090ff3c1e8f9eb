"""The curves as CSV, for `dvc plots`: a column a line, numbers rounded to six decimals."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from components.evaluate.proposal_recall import ProposalRecall
from components.scoring.average_precision import RECALLS, Evaluation
from components.scoring.recall import IOUS


def write_curves(
    folder: Path, evaluations: Mapping[str, Evaluation], recall: ProposalRecall
) -> None:
    """Write all curves into a new folder.

    ``precision_recall.csv`` has a row for each network, class and recall (IoU 0.5),
    ``mean_precision.csv`` the mean over the classes with a column for each network,
    ``recall_iou.csv`` and ``recall_count.csv`` the recall of proposals by RPN.
    """
    folder.mkdir()
    header = ["network", "class", "recall", "precision"]
    write_csv(folder / "precision_recall.csv", header, class_precisions(evaluations))
    means = {name: mean_precision(evaluation) for name, evaluation in evaluations.items()}
    write_columns(folder / "mean_precision.csv", {"recall": RECALLS} | means)
    by_iou = {name: table[-1] for name, table in recall.tables.items()}
    write_columns(folder / "recall_iou.csv", {"iou": IOUS} | by_iou)
    columns = {"proposals": recall.counts} | recall_by_count(recall)
    write_columns(folder / "recall_count.csv", columns)


def class_precisions(evaluations: Mapping[str, Evaluation]) -> Iterator[tuple[object, ...]]:
    """Network, class, recall and precision for each network, class and recall."""
    for network, evaluation in evaluations.items():
        for score in evaluation.classes:
            for recall, precision in zip(RECALLS, score.precision, strict=True):
                yield network, score.name, recall, precision


def mean_precision(evaluation: Evaluation) -> np.ndarray:
    """Precision at `RECALLS` and IoU 0.5, mean over the classes: (101,)."""
    mean: np.ndarray = np.mean([score.precision for score in evaluation.classes], axis=0)
    return mean


def recall_by_count(recall: ProposalRecall) -> dict[str, np.ndarray]:
    """Recall at IoU 0.5 (``_R50``) and average recall (``_AR``) for each count, by RPN."""
    half = {f"{name}_R50": table[:, 0] for name, table in recall.tables.items()}
    return half | {f"{name}_AR": table.mean(axis=1) for name, table in recall.tables.items()}


def write_columns(path: Path, columns: Mapping[str, Iterable[object]]) -> None:
    """Write equally long columns as CSV."""
    write_csv(path, list(columns), zip(*columns.values(), strict=True))


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows as CSV with Unix line ends."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row in rows:
            writer.writerow([round(float(v), 6) if isinstance(v, float) else v for v in row])
