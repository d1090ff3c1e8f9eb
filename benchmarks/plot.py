"""The ratios with a target as bars, an SVG file; the target is a tick on each bar's line."""

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from benchmarks.table import Row, number
from components.pages.chart import BLUE, GREEN, ORANGE

LINE, LEFT, WIDTH = 22, 330, 420
"""Height of a bar's line, room for the names, length of the longest bar, in the SVG's units."""
LEAST = 0.25
"""The ratio at which the logarithmic scale begins."""


def write_plot(path: Path, rows: Sequence[Row]) -> None:
    """Draw the rows of speed that have a ratio and a target, on a logarithmic scale."""
    shown = [row for row in rows if row.ratio is not None and row.target is not None]
    shown = [row for row in shown if not row.at_most and row.unit != "MiB"]
    ends = [value for row in shown for value in (row.ratio, row.target) if value is not None]
    scale = WIDTH / math.log(max([2.0, *ends]) / LEAST)
    height = LINE * (len(shown) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 80} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<text x="8" y="{LINE - 6}">How many times as fast as the other side '
        "(line: quartiles; red tick: target)</text>",
    ]
    for place, row in enumerate(shown, start=1):
        parts += bar(row, place * LINE + 4, scale)
    path.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


def bar(row: Row, top: int, scale: float) -> list[str]:
    """One row: its name, bar, quartiles, target and figure."""

    def x(value: float) -> float:
        return round(LEFT + scale * math.log(max(value, LEAST) / LEAST), 1)

    ratio, target = row.ratio or LEAST, row.target or LEAST
    colour, middle = (GREEN if row.reached else ORANGE), top + 8
    low, high = row.spread or (ratio, ratio)
    return [
        f'<text x="{LEFT - 8}" y="{top + 12}" text-anchor="end">{escape(row.name)}</text>',
        f'<rect x="{LEFT}" y="{top}" width="{x(ratio) - LEFT:.1f}" height="16" fill="{colour}"/>',
        f'<path d="M{x(low)} {middle}H{x(high)}" stroke="#000"/>',
        f'<path d="M{x(target)} {top - 2}v20" stroke="#d01c00" stroke-width="2"/>',
        f'<text x="{max(x(ratio), x(high), x(target)) + 6}" y="{top + 12}" fill="{BLUE}">'
        f"{number(ratio)}x</text>",
    ]
