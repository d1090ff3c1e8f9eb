"""Line charts for pages: positions worked out here, drawn as SVG by ``chart.html.jinja``."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

RIGHT, TOP, BOTTOM = 350, 10, 220
"""The plot's frame in the SVG's own units; the drawing is 360 x 262 and scales to its column."""
LEFT, CHARACTER = 19, 7
"""Room left of the plot: for the label of the axis, and for each character of a tick's."""

BLUE, ORANGE, GREEN, PURPLE, OLIVE = "#0072b2", "#d55e00", "#00795a", "#9b1d9b", "#8a6d00"
SKY, RED, GREY, LIME, AMBER = "#56b4e9", "#d01c00", "#444444", "#7fb800", "#e69f00"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, OLIVE, SKY, RED, GREY, LIME, AMBER)

SHARES = (0, 0.2, 0.4, 0.6, 0.8, 1)
"""Ticks of an axis from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its name in the key, colour, whether dashed, and its points (x, y)."""

    name: str
    colour: str
    dashed: bool
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Axis:
    """A label and the ticks, from end to end; on a logarithmic scale if `log`."""

    label: str
    ticks: Sequence[float]
    log: bool = False

    @property
    def labelled(self) -> list[tuple[float, str]]:
        """Each tick with what is written beside it."""
        return [(tick, f"{tick:.10g}") for tick in self.ticks]

    def share(self, value: float) -> float:
        """Where a value lies between the ends, from 0 to 1; what is beyond them lies on them."""
        scale = math.log if self.log else float
        first, last = scale(self.ticks[0]), scale(self.ticks[-1])
        inside = min(max(value, self.ticks[0]), self.ticks[-1])
        return (scale(inside) - first) / (last - first) if last > first else 0.5


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: its title, lines and two axes."""

    title: str
    lines: Sequence[Line]
    x_axis: Axis
    y_axis: Axis

    @property
    def left(self) -> int:
        """Left end of the plot, beside the longest label of a tick of y."""
        return LEFT + CHARACTER * max(len(label) for _, label in self.y_axis.labelled)

    def x(self, value: float) -> float:
        """Horizontal place of a value of x."""
        return round(self.left + self.x_axis.share(value) * (RIGHT - self.left), 1)

    def y(self, value: float) -> float:
        """Vertical place of a value of y."""
        return round(BOTTOM - self.y_axis.share(value) * (BOTTOM - TOP), 1)

    def path(self, line: Line) -> str:
        """A line's points for SVG's ``polyline``."""
        return " ".join(f"{self.x(x)},{self.y(y)}" for x, y in line.points)


def points(x: Iterable[float], y: Iterable[float]) -> list[tuple[float, float]]:
    """Pairs of plain floats."""
    return [(float(a), float(b)) for a, b in zip(x, y, strict=True)]
