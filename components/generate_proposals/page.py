"""The page of the proposals: how much of the ground truth they recall."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.dataset.index import Index
from components.pages.chart import BLUE, COLOURS, GREEN, ORANGE, SHARES, Axis, Chart, Line, points
from components.pages.page import write_page
from components.pages.split import split_counts
from components.scoring.recall import COUNTS, IOUS
from models.faster_rcnn import Architecture


@dataclass(frozen=True, slots=True)
class ProposalsPage:
    """What the page shows. `recall` is (len(COUNTS), len(IOUS)), `most` proposals were allowed."""

    architecture: Architecture
    index: Index
    split: str
    proposals: int
    most: int
    recall: np.ndarray


def write_proposals_page(path: Path, proposals: ProposalsPage) -> None:
    """Write the page."""
    template = Path(__file__).with_name("proposals.html.jinja")
    write_page(path, template, content(proposals))


def content(proposals: ProposalsPage) -> dict[str, Any]:
    """The template's variables."""
    counts = split_counts(proposals.index, proposals.split)
    shown = distinct_rows(proposals)
    return {
        "architecture": proposals.architecture,
        "index": proposals.index,
        "split": proposals.split,
        "counts": counts,
        "an_image": proposals.proposals / counts.images,
        "most": proposals.most,
        "recall": shown,
        "rows": [(iou, [row[n] for row in shown.values()]) for n, iou in enumerate(IOUS)],
        "charts": [iou_chart(shown), count_chart(shown)] if shown else [],
    }


def distinct_rows(proposals: ProposalsPage) -> dict[int, np.ndarray]:
    """Recall by number of proposals, up to the most that an image may have.

    Empty if the split has no object, since there is no recall then.
    """
    if np.isnan(proposals.recall).any():
        return {}
    return {min(n, proposals.most): r for n, r in zip(COUNTS, proposals.recall, strict=True)}


def iou_chart(recall: dict[int, np.ndarray]) -> Chart:
    """Recall against IoU, a line for each number of proposals."""
    lines = [
        Line(f"{number} proposals", colour, False, points(IOUS, row))
        for (number, row), colour in zip(recall.items(), COLOURS, strict=False)
    ]
    axis = Axis("IoU", (0.5, 0.6, 0.7, 0.8, 0.9, 1))
    return Chart("Recall by IoU", lines, axis, Axis("recall", SHARES))


def count_chart(recall: dict[int, np.ndarray]) -> Chart:
    """Recall against the number of proposals, at two IoUs and on average."""
    table, numbers = np.array(list(recall.values())), tuple(recall)
    lines = [
        Line("IoU 0.50", BLUE, False, points(numbers, table[:, IOUS.index(0.5)])),
        Line("IoU 0.70", GREEN, False, points(numbers, table[:, IOUS.index(0.7)])),
        Line("mean of IoU 0.50 to 0.95", ORANGE, False, points(numbers, table.mean(axis=1))),
    ]
    axis = Axis("proposals an image", numbers, log=True)
    return Chart("Recall by number", lines, axis, Axis("recall", SHARES))
