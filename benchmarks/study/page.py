"""The results as a table and as a page with plots."""

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.study.movement import Movement
from benchmarks.study.result import Result
from components.pages.chart import COLOURS, Chart, Line
from components.pages.page import write_page
from components.pages.ticks import close_axis, fitting_axis, linear_axis

FIGURES = ("AP50", "AP", "AP75")
PARTS = ("shared", "rpn", "detector")
"""In the order in which an image passes them."""


@dataclass(frozen=True, slots=True)
class Row:
    """What the tables have of a name: its seeds, each figure as text, and its seconds."""

    name: str
    seeds: int
    cells: list[str]
    seconds: float


@dataclass(frozen=True, slots=True)
class MovedRow:
    """How far the weights of a part moved in a training: how many did, median and most change.

    ``fixed``: whether all tensors of the part are bit-equal, biases and buffers too.
    """

    name: str
    step: str
    part: str
    weights: int
    moved: int
    median: float
    most: float
    fixed: bool


def rows(results: Sequence[Result]) -> list[Row]:
    """A row for each name: mean and deviation over the seeds, median of the seconds."""
    return [
        Row(
            name=name,
            seeds=len(found),
            cells=[spread([r.scores[figure] for r in found]) for figure in FIGURES],
            seconds=statistics.median(r.seconds for r in found),
        )
        for name, found in by_name(results).items()
    ]


def table(results: Sequence[Result]) -> str:
    """The rows in Markdown."""
    lines = ["| | seeds | " + " | ".join(FIGURES) + " | time |", "|---|---|" + "---|" * 4]
    lines += [
        f"| {row.name} | {row.seeds} | {' | '.join(row.cells)} | {row.seconds:.0f} s |"
        for row in rows(results)
    ]
    return "\n".join(lines)


def moved_rows(results: Sequence[Result]) -> list[MovedRow]:
    """A row for each part of each training, over the mean changes of the seeds."""
    return [
        moved_row(name, step, part, [result.moved[step] for result in found])
        for name, found in by_name(results).items()
        for step, first in found[0].moved.items()
        for part in PARTS
        if part in first.fixed
    ]


def moved_row(name: str, step: str, part: str, movements: Sequence[Movement]) -> MovedRow:
    """The row of a part of a training."""
    means = mean_changes(movements)
    changes = [change for weight, change in means.items() if weight.startswith(f"{part}.")]
    return MovedRow(
        name=name,
        step=step,
        part=part,
        weights=len(changes),
        moved=sum(change > 0 for change in changes),
        median=statistics.median(changes) if changes else 0.0,
        most=max(changes, default=0.0),
        fixed=all(each.fixed[part] for each in movements),
    )


def moved_table(results: Sequence[Result]) -> str:
    """The rows of movement in Markdown."""
    head = ("", "training", "part", "weights that moved", "median change", "most", "bit-equal")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in moved_rows(results):
        moved = f"{row.moved} of {row.weights} | {row.median:.4f} | {row.most:.4f}"
        equal = "yes" if row.fixed else "no"
        lines.append(f"| {row.name} | {row.step} | {row.part} | {moved} | {equal} |")
    return "\n".join(lines)


def by_name(results: Sequence[Result]) -> dict[str, list[Result]]:
    """The results of each name, in the order in which they come first."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.name, []).append(result)
    return found


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation, or the value if there is one."""
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


def write_study_page(path: Path, question: str, results: Sequence[Result]) -> None:
    """Write the page: figures of each name with a dot a seed, and how far each layer moved."""
    names = by_name(results)
    content = {
        "title": question.capitalize(),
        "figures": FIGURES,
        "rows": rows(results),
        "dots": [dots(figure, names) for figure in FIGURES[:2]],
        "charts": [moved_chart(name, found) for name, found in names.items()],
        "moved": moved_rows(results),
    }
    write_page(path, Path(__file__).with_name("study.html.jinja"), content)


def dots(figure: str, names: dict[str, list[Result]]) -> dict[str, object]:
    """A figure's values by name, and an axis that they fill."""
    values = {name: [r.scores[figure] for r in found] for name, found in names.items()}
    axis = close_axis(figure, [value for each in values.values() for value in each])
    means = {name: statistics.mean(each) for name, each in values.items()}
    return {"figure": figure, "values": values, "means": means, "axis": axis}


def moved_chart(name: str, results: list[Result]) -> Chart:
    """Change of each weight by its place in the network, a line for each step; 0 lies lowest."""
    steps = {
        step: mean_changes([result.moved[step] for result in results]) for step in results[0].moved
    }
    names = sorted({name for changes in steps.values() for name in changes}, key=layer_order)
    place = {weight: n for n, weight in enumerate(names, start=1)}
    lines = [
        Line(step, colour, False, sorted((place[w], change) for w, change in changes.items()))
        for colour, (step, changes) in zip(COLOURS, steps.items(), strict=False)
    ]
    every = [y for line in lines for _, y in line.points]
    label = "weights: shared convs, RPN, detector"
    return Chart(name, lines, linear_axis(label, [len(names)]), fitting_axis("", every))


def mean_changes(movements: Sequence[Movement]) -> dict[str, float]:
    """The mean change of each weight over the seeds."""
    weights = [name for name in movements[0].changes if name.endswith("weight")]
    return {name: statistics.mean(each.changes[name] for each in movements) for name in weights}


def layer_order(name: str) -> tuple[int, list[str | int]]:
    """What sorts parameters as an image passes them: by part, then layer 2 before layer 10."""
    words = [int(word) if word.isdigit() else word for word in re.split(r"(\d+)", name)]
    return PARTS.index(name.partition(".")[0]), words
