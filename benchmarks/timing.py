"""Interleaved timing: what else the machine does meets all contenders."""

import io
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from time import perf_counter
from typing import NamedTuple

import torch

Seconds = Callable[[], float]
Times = dict[str, list[float]]

LEAST_ROUNDS, MOST_ROUNDS = 3, 50


class Summary(NamedTuple):
    """A median with its first and third quartile."""

    median: float
    low: float
    high: float


def interleaved(contenders: Mapping[str, Seconds], budget: float, warm_up: int = 1) -> Times:
    """Seconds of each contender, in rounds: every contender once, the order turned each round.

    Args:
        contenders: functions that do their work once and return the seconds that count.
        budget: seconds after which no further round starts; at least `LEAST_ROUNDS` are made,
            one if it is 0.
        warm_up: rounds before, which are not kept: they allocate memory and choose kernels.
    """
    names = list(contenders)
    times: Times = {name: [] for name in names}
    for name in names * warm_up:
        contenders[name]()
    start, done = perf_counter(), 0
    least = LEAST_ROUNDS if budget else 1
    while done < least or (perf_counter() - start < budget and done < MOST_ROUNDS):
        for name in names if done % 2 == 0 else reversed(names):
            times[name].append(contenders[name]())
        done += 1
    return times


def stopwatch(work: Callable[[], object], device: str = "cpu") -> Seconds:
    """The work as a contender: timed from start to end, the device's work included."""

    def timed() -> float:
        synchronise(device)
        start = perf_counter()
        work()
        synchronise(device)
        return perf_counter() - start

    return timed


@contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars and remarks of what is timed again and again."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


def synchronise(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def summary(values: Sequence[float]) -> Summary:
    """Median and quartiles of values; of a single one, three times itself."""
    if len(values) == 1:
        return Summary(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Summary(median, low, high)


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> Summary:
    """Of the rounds' ratios theirs / ours, in seconds: how many times ours is as fast."""
    return summary([a / b for a, b in zip(theirs, ours, strict=True)])
