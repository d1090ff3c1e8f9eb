"""A stage on Kubeflow watches over its own work: what dies is started again, in the same pod.

Kubeflow cannot be relied on for that: its own installation starts a container that failed never
again (docs/kubeflow.md). So the stage's process starts itself once more as a child. If the child
dies of a signal, or of an error that is not the user's to mend, it is started again after a pause,
and a training goes on from its last resume point.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from components.errors import REFUSAL, InputError
from components.termination import SIGNALS
from components.termination import STATUS as STOPPED
from components.tracking import settle

RETRIES = "FOURSTEP_RETRIES"
"""How often a stage starts its work again: count, seconds before the first time, factor."""
SUPERVISED = "FOURSTEP_RESTARTS"
"""Set for the child: how often the work was started again before it."""
GAVE_UP = os.EX_SOFTWARE
"""The exit status for an error that is not the user's, after the last restart."""
REASON = "FOURSTEP_RESTART_REASON"
"""Set for a child that was started again: how the one before it died."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How often work that died is started again, and after how many seconds."""

    count: int = 0
    pause_s: float = 60.0
    factor: float = 2.0

    def pause(self, restart: int) -> float:
        """The pause before the n-th restart, from 1 on, in seconds."""
        return float(self.pause_s * self.factor ** (restart - 1))


def retries() -> Retries:
    """The retries that ``FOURSTEP_RETRIES`` gives, such as ``3 60s 2``; none without it.

    Raises:
        InputError: it is something else.
    """
    text = os.environ.get(RETRIES)
    if not text:
        return Retries()
    try:
        count, pause, factor = text.split()
        return Retries(int(count), float(pause.removesuffix("s")), float(factor))
    except ValueError:
        raise InputError(
            f"{RETRIES}={text}: must be a count, a pause and a factor, such as '3 60s 2'"
        ) from None


def is_supervised() -> bool:
    """Whether this process is the child of one that supervises it."""
    return SUPERVISED in os.environ


def supervise(
    name: str,
    command: Sequence[str],
    allowed: Retries,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Run a command until it has succeeded, or may not be started again.

    It is not started again if it was asked to stop, or if it refused its input.

    Args:
        name: the stage's, for messages.
        command: of the child.
        allowed: how often it is started again, and after which pauses.
        sleep: waits.

    Returns:
        The exit status for this process: 0; 128 + n if the last child died of signal n; `GAVE_UP`
        in place of 1, which is that of a refusal; else the child's.
    """
    reason, restarts = "", 0
    while True:
        ended = run_once(command, restarts, reason)
        if ended.refusal:
            print(ended.refusal, file=sys.stderr, flush=True)  # as the last line of the log
        if ended.status == 0 or ended.stopped or ended.refusal:
            return exit_status(ended.status)
        reason = how_it_died(ended.status)
        if restarts >= allowed.count:
            say(name, f"{reason}; it is not started again after {restarts} restarts")
            with suppress(OSError):
                settle(name)
            return GAVE_UP if ended.status == 1 else exit_status(ended.status)
        restarts += 1
        pause = allowed.pause(restarts)
        say(
            name, f"{reason}; starts again in {pause:.0f} s (restart {restarts} of {allowed.count})"
        )
        sleep(pause)


@dataclass(frozen=True, slots=True)
class Ended:
    """How the child ended: its return code, whether it was asked to stop, what it refused."""

    status: int
    stopped: bool
    refusal: str


def run_once(command: Sequence[str], restarts: int, reason: str) -> Ended:
    """Run the child once, and end what it leaves behind."""
    with tempfile.TemporaryDirectory(prefix="fourstep-") as folder:
        refusal = Path(folder) / "refusal"
        environment = os.environ | {SUPERVISED: str(restarts), REFUSAL: str(refusal)}
        if reason:
            environment[REASON] = reason
        with signals_passed_on() as passed_on:
            # A group of its own: what is sent to the group of this process is passed on, once.
            child = subprocess.Popen(command, env=environment, process_group=0)
            passed_on.to(child.pid)
            status = child.wait()
        end_all_with(f"{REFUSAL}={refusal}")
        stopped = bool(passed_on.numbers) or status == STOPPED
        return Ended(status, stopped, refusal.read_text() if refusal.exists() else "")


def end_all_with(variable: str) -> None:
    """Kill all processes that have this variable: a dead stage's would hold its GPU and folders.

    Those of torchrun are in sessions of their own, so that no group has them all.
    """
    found = True
    while found:
        found = False
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if variable.encode() in environ.read_bytes().split(b"\0"):
                    os.kill(int(environ.parent.name), signal.SIGKILL)
                    found = True
        time.sleep(0.01 * found)


class PassedOn:
    """Signals that came, for a child that may be yet to be started."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self._child: int | None = None

    def to(self, child: int) -> None:
        """From here on signals go to this process; those that came before, now."""
        self._child = child
        for number in self.numbers:
            os.kill(child, number)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Note a signal and pass it on."""
        self.numbers.append(number)
        if self._child:
            os.kill(self._child, number)


@contextmanager
def signals_passed_on() -> Iterator[PassedOn]:
    """Within, SIGTERM and SIGINT are for the child, which knows what to do."""
    passed_on = PassedOn()
    before = {number: signal.signal(number, passed_on.handle) for number in SIGNALS}
    try:
        yield passed_on
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def how_it_died(status: int) -> str:
    """A child's end in words."""
    if status >= 0:
        return f"ended with exit status {status}"
    with suppress(ValueError):
        return f"was killed by signal {-status} ({signal.Signals(-status).name})"
    return f"was killed by signal {-status}"


def exit_status(status: int) -> int:
    """A return code as a shell gives it."""
    return 128 - status if status < 0 else status


def say(name: str, message: str) -> None:
    """One line in the log."""
    print(f"{name}: {message}", file=sys.stderr, flush=True)
