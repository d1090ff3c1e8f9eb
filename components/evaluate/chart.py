"""Line charts for the report: positions worked out here, drawn as SVG by the template."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEFT, RIGHT, TOP, BOTTOM = 40.0, 350.0, 10.0, 220.0
"""The plot's frame in the SVG's own units; the drawing is 360 x 262 and scales to its column."""

BLUE, ORANGE, GREEN, PURPLE, OLIVE = "#0072b2", "#d55e00", "#00795a", "#9b1d9b", "#8a6d00"
SKY, RED, GREY, LIME, AMBER = "#56b4e9", "#d01c00", "#444444", "#7fb800", "#e69f00"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, OLIVE, SKY, RED, GREY, LIME, AMBER)


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its name in the key, colour, whether dashed, and its points (x, y)."""

    name: str
    colour: str
    dashed: bool
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart; y runs from 0 to 1, x through `x_ticks`, on a logarithmic scale if `log`."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    x_ticks: Sequence[float]
    log: bool = False

    def x(self, value: float) -> float:
        """Horizontal place of a value of x."""
        scale = math.log if self.log else float
        first, last = scale(self.x_ticks[0]), scale(self.x_ticks[-1])
        share = (scale(value) - first) / (last - first) if last > first else 0.5
        return round(LEFT + share * (RIGHT - LEFT), 1)

    def y(self, value: float) -> float:
        """Vertical place of a value of y."""
        return round(BOTTOM - value * (BOTTOM - TOP), 1)

    def path(self, line: Line) -> str:
        """A line's points for SVG's ``polyline``."""
        return " ".join(f"{self.x(x)},{self.y(y)}" for x, y in line.points)
