"""What a person sees of a run: a line for each change, the log of what fails, a summary."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pipelines.submit.errors import ServerError
from pipelines.submit.log import Log, read_log
from pipelines.submit.server import Server
from pipelines.submit.tasks import (
    CACHED,
    CANCELED,
    ENDED,
    FAILED,
    UNKNOWN,
    Task,
    list_lags,
    read_tasks,
)

_INDENT = " " * 10

Show = Callable[[str], None]


@dataclass
class Table:
    """What has been shown so far."""

    server: Server
    run_id: str
    show: Show
    names: frozenset[str]
    state: str = ""
    canceling: bool = False
    """Whether a person has ended the run; the server then says CANCELING, and FAILED at the end."""
    refused: str = ""
    """The first task that has refused its input."""
    tasks: dict[str, Task] = field(default_factory=dict)

    def begin(self) -> None:
        """Show the head of the table."""
        if not self.names:
            self.show("the pipeline's version cannot be read: only the run's own state is shown")
        self.show(f"{'time':8}  {self._column('task')}  state")

    def update(self, run: Any) -> None:
        """Show what has changed since the last look."""
        if run.state not in (self.state, *ENDED, *UNKNOWN):
            self.show(f"{clock(None)}  {self._column('(run)')}  {run.state}")
        self.state = run.state
        history = [s for s in run.state_history or [] if s.state == "CANCELING"]
        self.canceling |= run.state == "CANCELING" or bool(history)
        since = history[0].update_time if history else None
        for task in read_tasks(run, self.names):
            before = self.tasks.get(task.key)
            if self.canceling and task.state == FAILED and _is_after(task, since):
                task = replace(task, state=CANCELED)
            self.tasks[task.key] = task
            if before is None or before.state != task.state:
                self._line(task)

    def end(self, run: Any) -> str:
        """Sum up; the run's state: CANCELED for one that a person has ended."""
        state = CANCELED if run.state == FAILED and self.canceling else str(run.state)
        known = [task for task in self.tasks.values() if task.state in (*ENDED, CACHED)]
        states = Counter(task.state for task in known)
        missing = self.names - {task.name for task in known}
        if missing:
            states["not known" if list_lags(run) else "not run"] = len(missing)
        counts = ", ".join(f"{n} {state}" for state, n in states.items())
        self.show(f"run {state}{f' ({counts})' if counts else ''}")
        if "not known" in states:
            self.show(f"{_INDENT}the server's list of tasks ends before the run did")
        if run.error and run.error.message:
            self.show(f"{_INDENT}error: {self.server.clean(run.error.message)}")
        self.show(self.server.run_link(self.run_id))
        return state

    def _line(self, task: Task) -> None:
        ended = task.ended if task.state in (*ENDED, CACHED) else None
        took = ""
        if ended and task.started and task.state != CACHED:
            took = f"  {_duration((ended - task.started).total_seconds())}"
        if len(task.pods) > 1:
            took += f", {len(task.pods)} attempts"
        when = clock(ended or task.started)
        self.show(f"{when}  {self._column(task.name)}  {task.state}{took}")
        if task.state == FAILED:
            self._failure(task)

    def _failure(self, task: Task) -> None:
        if task.error:
            self.show(f"{_INDENT}error: {self.server.clean(task.error)}")
        if not task.pods:
            find = f"get pods -l pipeline/runid={self.run_id} --field-selector=status.phase=Failed"
            self.show(f"{_INDENT}log: the server does not name the pod; it is one of these:")
            self.show(f"{_INDENT}  {self._kubectl()} {find}")
            self.show(f"{_INDENT}  {self._kubectl()} logs -c main POD")
            return
        node = task.pods[-1]
        try:
            log = read_log(self.server, self.run_id, node)
        except ServerError as error:
            self.show(f"{_INDENT}log: the server does not give it: {error}")
            self.show(f"{_INDENT}  while the pod is there, {self._log_command(node)}")
            return
        self._log(log)
        if log.refusal(task.name):
            self.refused = self.refused or task.name

    def _log(self, log: Log) -> None:
        ended = f" (the process ended with {log.ended})" if log.ended else ""
        self.show(f"{_INDENT}log of the last attempt{ended}:")
        for line in log.lines or ("(it holds no line of the stage)",):
            self.show(f"{_INDENT}  {line}")

    def _log_command(self, node: str) -> str:
        """The command that prints the log of a node's pod, whose name ends with the node's hash."""
        number = self.server.clean(node).rpartition("-")[2]
        find = f"{self._kubectl()} get pods -o name | grep -- -{number}"
        return f'{self._kubectl()} logs -c main "$({find})"'

    def _kubectl(self) -> str:
        space = self.server.connection.namespace
        return f"kubectl -n {space or ('NAMESPACE' if self.server.multi_user else 'kubeflow')}"

    def _column(self, name: str) -> str:
        width = max(map(len, (*self.names, "(run)")))
        return f"{self.server.clean(name):{width}}"


def clock(time: datetime | None) -> str:
    """A time, or now, as a person here reads it off the wall."""
    return f"{(time or datetime.now()).astimezone():%H:%M:%S}"


def _is_after(task: Task, time: datetime | None) -> bool:
    return not (time and task.ended and task.ended < time)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
