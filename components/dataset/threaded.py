"""The same work on many files, in a few threads."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

from components.progress import progress

T = TypeVar("T")
R = TypeVar("R")
BATCH = 64
"""Items that a thread takes at once: a million single ones waiting would fill the memory."""


def threaded(
    function: Callable[[T], R], items: Sequence[T], description: str, threads: int = 4
) -> list[R]:
    """The function's value for each item, in order, with a progress bar.

    The first error ends it: batches that wait are not started.
    """
    size = max(1, min(BATCH, len(items) // (4 * threads)))
    batches = [items[start : start + size] for start in range(0, len(items), size)]
    with ThreadPoolExecutor(threads) as pool:
        done = pool.map(lambda batch: [function(item) for item in batch], batches)
        return list(progress(chain.from_iterable(done), len(items), description))
