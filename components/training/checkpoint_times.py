"""When a training writes its resume point."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from components.processes import this_process
from components.training.parameters import SolverParameters

LEAST_INTERVALS = 10
"""A resume point that took a second comes ten seconds after the last one at the earliest."""


class CheckpointTimes:
    """By iterations at a line of the curve, and by time after any iteration.

    A pod that is stopped has about a second: what counts there is the last resume point.
    """

    def __init__(self, solver: SolverParameters) -> None:
        """The time counts from now on."""
        self._solver, self._last, self._took = solver, monotonic(), 0.0

    def due(self, done: int, logged: bool) -> bool:
        """Whether to write it after ``done`` iterations, the last of which is ``logged`` or not.

        Only one process can do so between two lines of the curve: the losses since the last line
        are means over all processes, which all of them would have to wait for.
        """
        solver = self._solver
        every = done % solver.checkpoint_every < solver.log_every or done == solver.iterations
        return (logged and every) or ((logged or this_process().count == 1) and self._time_is_up())

    def _time_is_up(self) -> bool:
        interval = max(self._solver.checkpoint_seconds, LEAST_INTERVALS * self._took)
        return monotonic() - self._last >= interval

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Note how long it takes to write it, and when that was."""
        begun = monotonic()
        yield
        self._last = monotonic()
        self._took = self._last - begun
