"""The report: one HTML page that needs nothing beside itself, to be read or sent on."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture

from components.dataset.index import Image, Index
from components.evaluate.curves import mean_precision
from components.evaluate.proposal_recall import ProposalRecall
from components.evaluate.ranking import Matched
from components.pages.chart import (
    BLUE,
    COLOURS,
    ORANGE,
    SHARES,
    Axis,
    Chart,
    Line,
    points,
)
from components.pages.page import write_page
from components.scoring.average_precision import RECALLS, ClassScore, Evaluation
from components.scoring.recall import IOUS
from models.parameters import InputParameters

MEANINGS = {
    "AP": "COCO: mean over IoU 0.50 to 0.95",
    "AP50": "COCO: at IoU 0.50",
    "AP75": "COCO: at IoU 0.75",
    "AP50_all_points": "at IoU 0.50, area under the curve (VOC 2010)",
    "AP50_11_point": "at IoU 0.50, 11 points (VOC 2007)",
    "APs": "objects under 32² pixels",
    "APm": "objects of 32² to 96² pixels",
    "APl": "objects over 96² pixels",
    "AR100": "recall of 100 detections, mean over IoU 0.50 to 0.95",
}
TITLES = {"AP50_all_points": "AP50, all points", "AP50_11_point": "AP50, 11-point"}
RPNS = {"shared": "step 3 (shared)", "unshared": "step 1 (unshared)"}
JPEG_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Report:
    """What the page shows. `pictures` has the drawn files by rank, as `ranked` has the images.

    `unshared` is None for a network that was trained jointly; `rule` is that of the test.
    """

    split: str
    index: Index
    rule: InputParameters
    images: Sequence[Image]
    shared: Evaluation
    unshared: Evaluation | None
    recall: ProposalRecall
    ranked: Mapping[str, Sequence[Matched]]
    pictures: Mapping[str, Sequence[Path]]


def write_report(path: Path, report: Report) -> None:
    """Write the page."""
    write_page(path, Path(__file__).with_name("report.html.jinja"), content(report))


def content(report: Report) -> dict[str, Any]:
    """The template's variables."""
    return {
        "split": report.split,
        "index": report.index,
        "images": len(report.images),
        "short_sides": ", ".join(str(level.short_side) for level in report.rule.levels),
        "objects": sum(score.objects for score in report.shared.classes),
        "crowd": sum(int(image.crowd.sum()) for image in report.images),
        "compared": report.unshared is not None,
        "summary": summary_rows(report.shared, report.unshared),
        "classes": class_rows(report.shared, report.unshared),
        "charts": [precision_chart(report.shared, report.unshared)],
        "recall_charts": recall_charts(report.recall),
        "galleries": galleries(report),
        "proposals": report.recall.counts[-1],
    }


def summary_rows(shared: Evaluation, unshared: Evaluation | None) -> list[dict[str, Any]]:
    """A row for each figure; both networks have the same ones, those of the split."""
    return [
        {
            "key": key,
            "name": TITLES.get(key, key),
            "meaning": meaning,
            "shared": shared.summary[key],
            "unshared": unshared and unshared.summary[key],
        }
        for key, meaning in MEANINGS.items()
        if key in shared.summary
    ]


def class_rows(
    shared: Evaluation, unshared: Evaluation | None
) -> list[tuple[ClassScore, ClassScore | None]]:
    """Each class's scores in both networks: the classes are those of the split, so the same."""
    others = unshared.classes if unshared else [None] * len(shared.classes)
    return list(zip(shared.classes, others, strict=True))


def precision_chart(shared: Evaluation, unshared: Evaluation | None) -> Chart:
    """Precision against recall at IoU 0.5: the shared network's classes and the means."""
    most = sorted(shared.classes, key=lambda score: -score.objects)[: len(COLOURS)]
    lines = [
        Line(score.name, colour, False, curve(score.precision))
        for score, colour in zip(most, COLOURS, strict=False)
    ]
    lines.append(Line("mean", "#000", False, curve(mean_precision(shared))))
    if unshared:
        lines.append(Line("mean, unshared", "#000", True, curve(mean_precision(unshared))))
    all_shown = len(most) == len(shared.classes)
    which = "" if all_shown else f", the {len(most)} classes with most objects"
    title = f"Precision and recall at IoU 0.50{which}"
    return Chart(title, lines, Axis("recall", SHARES), Axis("precision", SHARES))


def curve(precision: np.ndarray) -> list[tuple[float, float]]:
    """Points of a precision-recall curve; it ends at the highest recall that was reached."""
    reached = np.flatnonzero(precision > 0)
    end = reached[-1] + 1 if len(reached) else 0
    return points(RECALLS[:end], precision[:end])


def recall_charts(recall: ProposalRecall) -> list[Chart]:
    """Recall of proposals against IoU and against their number."""
    by_iou, by_count = [], []
    for name, table in recall.tables.items():
        title = RPNS[name] if len(recall.tables) > 1 else "proposals"
        dashed = name == "unshared"
        at_half, average = table[:, 0], table.mean(axis=1)
        by_iou.append(Line(title, BLUE, dashed, points(IOUS, table[-1])))
        by_count += [
            Line(f"{title}, IoU 0.50", BLUE, dashed, points(recall.counts, at_half)),
            Line(
                f"{title}, mean of IoU 0.50 to 0.95", ORANGE, dashed, points(recall.counts, average)
            ),
        ]
    iou = Axis("IoU", (0.5, 0.6, 0.7, 0.8, 0.9, 1))
    number = Axis("proposals an image", recall.counts, log=True)
    share = Axis("recall", SHARES)
    return [
        Chart(f"Recall of {recall.counts[-1]} proposals", by_iou, iou, share),
        Chart("Recall by number", by_count, number, share),
    ]


def galleries(report: Report) -> list[dict[str, Any]]:
    """The pictures by rank, each with its image's figures and inlined bytes."""
    return [
        {
            "rank": rank,
            "pictures": [
                {"matched": matched, "source": inline(path)}
                for matched, path in zip(images, report.pictures[rank], strict=True)
            ],
        }
        for rank, images in report.ranked.items()
        if images
    ]


def inline(path: Path) -> str:
    """A picture as a ``data:`` address; JPEG, since PNG photos would make the page heavy."""
    buffer = io.BytesIO()
    with Picture.open(path) as picture:
        picture.convert("RGB").save(buffer, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
