import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from components.pages.chart import SHARES, Axis, Chart, Line, points
from components.pages.ticks import LOG_DEPTH, close_axis, fitting_axis, linear_axis


def test_a_chart_places_its_points() -> None:
    line = Line("x", "#000", False, points((10, 100, 1000), (0.0, 0.5, 1.0)))
    number = Axis("n", (10, 100, 1000), log=True)
    chart = Chart("title", [line], number, Axis("recall", SHARES))
    assert chart.path(line) == "40.0,220.0 195.0,115.0 350.0,10.0"


def test_one_tick_lies_in_the_middle() -> None:
    assert Axis("n", (300,), log=True).share(300) == 0.5


def test_values_beyond_an_axis_lie_on_its_ends() -> None:
    axis = Axis("loss", (0.01, 0.1, 1), log=True)
    assert [axis.share(value) for value in (0, 0.001, 0.1, 7)] == [0, 0, pytest.approx(0.5), 1]


def test_long_labels_get_room() -> None:
    short, long = (
        Chart("", [], Axis("n", (0, 1)), Axis("", ticks)) for ticks in ((0, 0.5), (0, 0.0025))
    )
    assert (short.left, long.left) == (40, 61)
    assert long.x(0) == 61


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([], [0, 0.2, 0.4, 0.6, 0.8, 1]),
        ([0, 0], [0, 0.2, 0.4, 0.6, 0.8, 1]),
        ([0.3, 0.6], [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
        ([0.61], [0, 0.2, 0.4, 0.6, 0.8]),
        ([600], [0, 100, 200, 300, 400, 500, 600]),
        ([20, 80000], [0, 20000, 40000, 60000, 80000]),
    ],
)
def test_a_linear_axis_has_few_round_ticks(values: list[float], ticks: list[float]) -> None:
    axis = linear_axis("", values)
    assert (list(axis.ticks), axis.log) == (ticks, False)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.02, 0.5], [0.02, 0.05, 0.1, 0.2, 0.5]),
        ([0.0037, 0.697], [0.002, 0.01, 0.1, 1]),
        ([0.00002, 0.001], [0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001]),
        ([0, 1e-9, 1], [0.0001, 0.001, 0.01, 0.1, 1]),
    ],
)
def test_values_over_orders_of_magnitude_get_a_log_axis(
    values: list[float], ticks: list[float]
) -> None:
    axis = fitting_axis("", values)
    assert (list(axis.ticks), axis.log) == (ticks, True)


@pytest.mark.parametrize("values", [[], [0.0], [0.1, 1.9], [0.0, 0.1]])
def test_other_values_get_a_linear_axis(values: list[float]) -> None:
    assert not fitting_axis("", values).log


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.512, 0.547], [0.51, 0.52, 0.53, 0.54, 0.55]),
        ([0.5], [0.5, 0.502]),
        ([0.0, 0.3], [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]),
        ([0.9171, 0.9171], [0.916, 0.918]),
    ],
)
def test_a_close_axis_begins_and_ends_near_its_values(
    values: list[float], ticks: list[float]
) -> None:
    assert list(close_axis("", values).ticks) == ticks


def test_tick_labels_are_plain_numbers() -> None:
    axis = Axis("", (0, 0.0005, 1.0, 160000, 2.5e6))
    assert [label for _, label in axis.labelled] == ["0", "0.0005", "1", "160000", "2500000"]


@example([math.nextafter(0.001, 0), 1.0])
@example([0.01, math.nextafter(1000.0, 2000.0)])
@given(st.lists(st.just(0.0) | st.floats(1e-30, 1e30), min_size=1))
def test_every_axis_holds_its_values_on_few_rising_ticks(values: list[float]) -> None:
    axis = fitting_axis("", values)
    ticks = list(axis.ticks)
    assert ticks == sorted(set(ticks))
    assert 2 <= len(ticks) <= 9
    if axis.log:  # zeros lie on its lower end
        lowest = min(value for value in values if value > 0)
        assert ticks[0] <= max(lowest, max(values) / LOG_DEPTH)
    else:
        assert ticks[0] == 0
    assert ticks[-1] >= max(values) * (1 - 1e-9)
    assert all(0 <= axis.share(value) <= 1 for value in values)
