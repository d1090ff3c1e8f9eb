"""Progress: a bar on a terminal, a plain line now and then in a log."""

import sys
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Generic, TextIO, TypeVar

from tqdm import tqdm

from components.processes import this_process

T = TypeVar("T")
FIRST_S = 1.0
"""The first line of a log comes after this time, so that one sees early that something happens."""
INTERVAL_S = 10.0
"""Seconds between two lines of a log."""


def progress(
    items: Iterable[T], total: int, description: str, initial: int = 0
) -> "tqdm[T] | Lines[T]":
    """The items, with their progress on stderr: done, rate, time left, `set_postfix_str`'s words.

    Of several processes that run a stage together, only the first shows it.

    Args:
        items: what is gone through.
        total: how many there are, with those that were done before.
        description: what is done with them.
        initial: how many were done before.
    """
    first = this_process().first
    if first and not sys.stderr.isatty():
        return Lines(items, total, description, initial)
    return tqdm(
        items,
        total=total,
        initial=initial,
        desc=description,
        dynamic_ncols=True,
        disable=not first,
    )


class Lines(Generic[T]):
    """The items, with a line on stderr every few seconds and one at the end.

    In a log a bar is one endless line of carriage returns. `set_postfix_str` and `write` are as
    in tqdm.
    """

    def __init__(self, items: Iterable[T], total: int, description: str, initial: int) -> None:
        self._items, self._total, self._description = items, total, description
        self._initial, self._postfix = initial, ""

    def __iter__(self) -> Iterator[T]:
        done, begun = self._initial, monotonic()
        shown, shown_at, due_at = done, begun, begun + FIRST_S
        for item in self._items:
            yield item
            done += 1
            if (now := monotonic()) >= due_at and done < self._total:
                rate = (done - shown) / (now - shown_at)
                left = tqdm.format_interval((self._total - done) / rate)
                self._say(f"{done}/{self._total}, {per_second(rate)}, {left} left")
                shown, shown_at, due_at = done, now, now + INTERVAL_S
        if done > self._initial:
            took = monotonic() - begun
            mean = per_second((done - self._initial) / max(took, 1e-9))
            self._say(f"{done}/{self._total} in {tqdm.format_interval(took)}, {mean}")

    def set_postfix_str(self, text: str) -> None:
        """What the next lines end in."""
        self._postfix = f", {text}"

    def write(self, text: str, file: TextIO | None = None) -> None:
        """A line of its own, on stdout if nothing else is given."""
        print(text, file=file or sys.stdout, flush=True)

    def _say(self, text: str) -> None:
        self.write(f"{self._description}: {text}{self._postfix}", file=sys.stderr)


def per_second(rate: float) -> str:
    """A rate to three digits."""
    return f"{rate:.3g}/s" if rate < 1000 else f"{rate:.0f}/s"
