"""The page of a training: its losses over iterations, drawn and in figures."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.dataset.index import Index
from components.pages.chart import BLUE, COLOURS, Chart, Line, points
from components.pages.page import write_page
from components.pages.split import split_counts
from components.pages.ticks import fitting_axis, linear_axis
from components.training.resume import Curve
from models.faster_rcnn import Architecture

POINTS = 500
"""Most points of a line."""
ROWS = 12
"""Most rows of the table."""
MEANINGS = {
    "iteration": "mini-batches trained on",
    "lr": "learning rate of weights",
    "loss": "sum of the losses, which is minimised",
    "rpn_class": "object or background, log loss",
    "rpn_box": "box deltas of anchors, smooth L1",
    "detector_class": "class or background, log loss",
    "detector_box": "normalised box deltas of RoIs, smooth L1",
    "target_mean": "mean of the box targets before normalisation",
    "target_std": "standard deviation of the box targets before normalisation",
}


@dataclass(frozen=True, slots=True)
class TrainingPage:
    """What the page shows: which step, of which network, on which data, and its outcome."""

    title: str
    architecture: Architecture
    index: Index
    curve: Curve
    metrics: Mapping[str, float]


def write_training_page(path: Path, training: TrainingPage) -> None:
    """Write the page."""
    write_page(path, Path(__file__).with_name("training.html.jinja"), content(training))


def content(training: TrainingPage) -> dict[str, Any]:
    """The template's variables."""
    curve = training.curve
    drawn = thinned(curve)
    losses = [name for name in curve[0] if name not in ("iteration", "lr")]
    return {
        "title": training.title,
        "architecture": training.architecture,
        "index": training.index,
        "counts": split_counts(training.index, "train"),
        "losses": losses,
        "last": curve[-1],
        "charts": [loss_chart(drawn, losses), lr_chart(drawn)],
        "averaged": drawn[0]["iteration"],
        "rows": table_rows(curve),
        "figures": figures(training.metrics),
    }


def thinned(curve: Curve) -> Curve:
    """The curve with at most `POINTS` rows: means of neighbours, at the last one's iteration."""
    step = math.ceil(len(curve) / POINTS)
    groups = [curve[start : start + step] for start in range(0, len(curve), step)]
    return [
        {name: math.fsum(row[name] for row in group) / len(group) for name in group[-1]}
        | {"iteration": group[-1]["iteration"]}
        for group in groups
    ]


def loss_chart(curve: Curve, losses: list[str]) -> Chart:
    """Each part of the loss, and their sum in black."""
    parts = [name for name in losses if name != "loss"]
    colours = dict(zip(parts, COLOURS, strict=False)) | {"loss": "#000"}
    iterations = [row["iteration"] for row in curve]
    lines = [
        Line(name, colour, False, points(iterations, [row[name] for row in curve]))
        for name, colour in colours.items()
    ]
    axis = fitting_axis("", [row[name] for row in curve for name in losses])
    title = "Losses, logarithmic scale" if axis.log else "Losses"
    return Chart(title, lines, linear_axis("iterations", iterations), axis)


def lr_chart(curve: Curve) -> Chart:
    """The learning rate."""
    iterations, rates = ([row[name] for row in curve] for name in ("iteration", "lr"))
    line = Line("learning rate", BLUE, False, points(iterations, rates))
    axis = fitting_axis("", rates)
    title = "Learning rate, logarithmic scale" if axis.log else "Learning rate"
    return Chart(title, [line], linear_axis("iterations", iterations), axis)


def table_rows(curve: Curve) -> Curve:
    """At most `ROWS` rows of the curve, evenly spaced, with the first and the last."""
    number = min(ROWS, len(curve))
    last = len(curve) - 1
    return [curve[round(n * last / max(1, number - 1))] for n in range(number)]


def figures(metrics: Mapping[str, float]) -> list[dict[str, Any]]:
    """The metrics, each with what it means."""
    return [
        {
            "name": name,
            "meaning": MEANINGS.get(name) or MEANINGS.get(name.rpartition("_")[0], ""),
            "value": f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}",
        }
        for name, value in metrics.items()
    ]
