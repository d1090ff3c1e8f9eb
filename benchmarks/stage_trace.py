"""A stage with its times written down: ``python stage_trace.py FILE -m components.STAGE ...``.

It stands in for ``python`` in dvc.yaml's commands (`benchmarks.overhead`), so that nothing in the
stages has to know of it. With ``STOP_AT_WORK`` set the process ends where the work would begin.
"""

import builtins
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

Times = dict[str, Any]
STOP = "STOP_AT_WORK"


def main(file: Path, name: str, argv: list[str]) -> None:
    """Run a stage and append a line of JSON: what ran, and when its work began and ended."""
    entry: Any = import_module("components.main")
    times: Times = {"stage": os.environ.get("DVC_STAGE", name), "component": name, "argv": argv}
    times["loops"] = timed_loops()

    def traced(module: str) -> Any:
        """Import the stage's `run` and put clocks around it."""
        found: Any = import_module(module)
        work = found.run

        def run(*arguments: Any) -> None:
            times["work"] = time.monotonic()
            if STOP in os.environ:
                append(file, times)
                os._exit(0)
            with timed_imports() as spent:
                try:
                    work(*arguments)
                finally:
                    times["end"], times["imports"] = time.monotonic(), sum(spent)

        found.run = run
        return found

    entry.import_module = traced
    try:
        entry.main(name, argv)
    finally:
        append(file, times)


def timed_loops() -> list[tuple[int, float]]:
    """Turns of each loop that has a progress bar, and the median of a turn's seconds."""
    module: Any = import_module("components.progress")
    plain = module.progress
    found: list[tuple[int, float]] = []

    def timed(items: Any, total: int, *arguments: Any) -> Any:
        return plain(clocked(items), total, *arguments)

    def clocked(items: Any) -> Iterator[Any]:
        times = [time.monotonic()]
        for item in items:
            yield item
            times.append(time.monotonic())
        if times[1:]:
            turns = [b - a for a, b in pairwise(times)]
            found.append((len(turns), median(turns)))

    module.progress = timed
    return found


@contextmanager
def timed_imports() -> Iterator[list[float]]:
    """Seconds of each import statement of this thread; those within an import count with it."""
    plain, thread, spent, busy = builtins.__import__, threading.get_ident(), [], False

    def timed(*arguments: Any, **named: Any) -> ModuleType:
        nonlocal busy
        if busy or threading.get_ident() != thread:
            return plain(*arguments, **named)
        busy, start = True, time.monotonic()
        try:
            return plain(*arguments, **named)
        finally:
            busy = False
            spent.append(time.monotonic() - start)

    builtins.__import__ = timed
    try:
        yield spent
    finally:
        builtins.__import__ = plain


def append(file: Path, times: Times) -> None:
    """Append one line."""
    with file.open("a") as lines:
        lines.write(json.dumps(times) + "\n")


if __name__ == "__main__":
    sys.path[0] = os.getcwd()  # as with `python -m`
    main(Path(sys.argv[1]), sys.argv[3].rpartition(".")[2], sys.argv[4:])
