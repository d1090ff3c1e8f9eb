"""SIGTERM: what Kubernetes, batch systems, `kill` and a machine that shuts down send first.

A stage that is asked to stop ends with status 143, its scratch folder free and no half-written
output left. A training first finishes its iteration and keeps its state (`stop_noted`); Ctrl-C
does the same there. Asked a second time, it stops at once.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType
from typing import NoReturn

STATUS = 128 + signal.SIGTERM
SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""SIGINT is Ctrl-C."""
Asked = Callable[[], type[BaseException] | None]
"""What to raise, if a signal asked to stop."""


class Terminated(SystemExit):
    """The stage was asked to stop; nobody catches it, and the process ends with status 143."""

    def __init__(self) -> None:
        super().__init__(STATUS)

    def __str__(self) -> str:
        return "asked to stop by SIGTERM"


def stop_on_sigterm() -> None:
    """From here on SIGTERM raises `Terminated`: what is open is closed as after an error."""
    if current_thread() is main_thread():
        signal.signal(signal.SIGTERM, _stop)


@contextmanager
def stop_noted() -> Iterator[Asked]:
    """Within, SIGTERM and Ctrl-C are noted: the caller asks which to raise once it is ready.

    A second signal raises at once.
    """
    if current_thread() is not main_thread():
        yield lambda: None
        return
    noted: list[type[BaseException]] = []
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(Terminated if number == signal.SIGTERM else KeyboardInterrupt)
        if len(noted) > 1:
            raise noted[-1]

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield lambda: noted[0] if noted else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stop_put_off() -> Iterator[None]:
    """Within, a first SIGTERM or Ctrl-C waits for the end of the block, and is raised there.

    For imports: what is raised within one can be caught by it (``except:``), or wrapped in
    another error (by Python 3.11, while it makes a class).
    """
    with stop_noted() as asked:
        yield
    if stop := asked():
        raise stop


def leave_stopping_to_the_parent(worker: int = 0) -> None:
    """In a worker process: signals to the whole process group are for its parent to act on.

    The parent ends its workers itself; if it is killed, they find out within seconds.
    """
    os.setpgid(0, 0)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated
