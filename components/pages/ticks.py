"""Axes that fit data: round ticks, on a logarithmic scale where the values span orders."""

import math
from collections.abc import Iterable

from components.pages.chart import Axis

INTERVALS = 6
"""Most intervals between ticks."""
LOG_SPAN = 20.0
"""From this ratio of highest to lowest value on, a logarithmic scale shows more."""
LOG_DEPTH = 1e4
"""Deepest that a logarithmic scale goes below the highest value."""


def linear_axis(label: str, values: Iterable[float]) -> Axis:
    """An axis from 0 to the highest of the values, which are not negative; to 1 if all are 0."""
    high = max(values, default=0.0) or 1.0
    step = _round_step(high / INTERVALS)
    return Axis(label, [_exact(n * step) for n in range(math.ceil(high / step - 1e-9) + 1)])


def close_axis(label: str, values: Iterable[float]) -> Axis:
    """An axis from round tick to round tick, close around the values; at least 0.01 long."""
    found = list(values)
    low, high = min(found), max(found)
    step = _round_step(max(high - low, 0.01) / INTERVALS)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Axis(label, [_exact(n * step) for n in range(first, max(last, first + 1) + 1)])


def fitting_axis(label: str, values: Iterable[float]) -> Axis:
    """A linear axis, or a logarithmic one if the positive values span `LOG_SPAN` or more.

    Values more than `LOG_DEPTH` below the highest one, such as 0, lie on the logarithmic
    axis's lower end. No value is negative.
    """
    found = list(values)
    high = max(found, default=0.0)
    low = max(min((v for v in found if v > 0), default=high), high / LOG_DEPTH)
    if high < LOG_SPAN * low or high == 0:
        return linear_axis(label, found)
    return Axis(label, _log_ticks(low, high), log=True)


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten; both ends and the powers between if that is too many."""
    # One decade more at both ends, since log10 may round to the next whole number.
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    ticks = [_exact(factor * 10.0**decade) for decade in decades for factor in (1, 2, 5)]
    first = max(tick for tick in ticks if tick <= low)
    last = min(tick for tick in ticks if tick >= high)
    if len(inside := [tick for tick in ticks if first <= tick <= last]) <= INTERVALS + 1:
        return inside
    powers = [_exact(10.0**decade) for decade in decades]
    return [first, *(power for power in powers if 2 * first < power < last / 2), last]


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is not below ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= least * (1 - 1e-9))


def _exact(value: float) -> float:
    """The value without the rounding errors of multiples of a step."""
    return float(f"{value:.10g}")
