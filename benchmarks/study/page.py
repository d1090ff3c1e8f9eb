"""The results as a table and as a page with plots."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks.study.result import Result, mean_by_tensor
from components.pages.chart import COLOURS, Axis, Chart, Line
from components.pages.page import write_page
from components.pages.ticks import fitting_axis, linear_axis

FIGURES = ("AP50", "AP", "AP75")


def table(results: Sequence[Result]) -> str:
    """A line for each name in Markdown: mean and deviation over the seeds, and seconds."""
    lines = ["| | seeds | " + " | ".join(FIGURES) + " | time |", "|---|---|" + "---|" * 4]
    for name, of_name in by_name(results).items():
        cells = [spread([r.scores[figure] for r in of_name]) for figure in FIGURES]
        seconds = statistics.median(r.seconds for r in of_name)
        lines.append(f"| {name} | {len(of_name)} | {' | '.join(cells)} | {seconds:.0f} s |")
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
        "rows": [
            {
                "name": name,
                "seeds": len(found),
                "cells": [spread([r.scores[figure] for r in found]) for figure in FIGURES],
                "seconds": statistics.median(r.seconds for r in found),
            }
            for name, found in names.items()
        ],
        "dots": [dots(figure, names) for figure in FIGURES[:2]],
        "charts": [moved_chart(name, found) for name, found in names.items()],
        "fixed": [
            (name, step, part, fixed)
            for name, found in names.items()
            for step, parts in found[0].fixed.items()
            for part, fixed in parts.items()
        ],
    }
    write_page(path, Path(__file__).with_name("study.html.jinja"), content)


def dots(figure: str, names: dict[str, list[Result]]) -> dict[str, object]:
    """A figure's values by name, and an axis that they fill."""
    values = {name: [r.scores[figure] for r in found] for name, found in names.items()}
    every = [value for each in values.values() for value in each]
    low, high = min(every), max(every)
    room = max(0.01, (high - low) * 0.1)
    ticks = [round(low - room + n * (high - low + 2 * room) / 5, 3) for n in range(6)]
    means = {name: statistics.mean(each) for name, each in values.items()}
    return {"figure": figure, "values": values, "means": means, "axis": Axis(figure, ticks)}


def moved_chart(name: str, results: list[Result]) -> Chart:
    """Change of each weight by its place in the network, a line for each step; 0 lies lowest."""
    lines = []
    for colour, step in zip(COLOURS, results[0].moved, strict=False):
        moved = {k: v for k, v in mean_by_tensor(results, step).items() if k.endswith("weight")}
        ordered = list(enumerate(moved.values(), start=1))
        lines.append(Line(step, colour, False, [(float(n), value) for n, value in ordered]))
    most = max((len(line.points) for line in lines), default=1)
    values = [y for line in lines for _, y in line.points]
    return Chart(
        name, lines, linear_axis("weights, from the image up", [most]), fitting_axis("", values)
    )
