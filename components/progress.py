"""Progress bars: rate and time left on a terminal, a line now and then in a log."""

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

from components.processes import this_process

T = TypeVar("T")
LOG_INTERVAL_S = 15.0


def progress(items: Iterable[T], total: int, description: str, initial: int = 0) -> "tqdm[T]":
    """The items, with a bar: done, rate, time left; ``set_postfix_str`` adds to it.

    Of several processes that run a stage together, only the first shows it.
    """
    terminal = sys.stderr.isatty()
    return tqdm(
        items,
        total=total,
        initial=initial,
        desc=description,
        mininterval=0.1 if terminal else LOG_INTERVAL_S,
        dynamic_ncols=terminal,
        ascii=None if terminal else " #",
        disable=not this_process().first,
    )
