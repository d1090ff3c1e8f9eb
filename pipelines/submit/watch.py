"""Follow a run until its end: a line for each change of a task's state."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from components.errors import InputError
from pipelines.submit.connection import resume_command
from pipelines.submit.errors import ServerError
from pipelines.submit.server import Server
from pipelines.submit.tasks import CACHED, UNKNOWN, Task, read_tasks, task_names

POLL_S = 5.0
"""The pause between two looks at a run."""
PATIENCE_S = 1800.0
"""How long a server that is away is waited for."""
NOT_WATCHED = 3
"""Exit status: the run goes on, but cannot be followed from here."""
INTERRUPTED = 130
_ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
_INDENT = " " * 10

Show = Callable[[str], None]


def watch_run(server: Server, run_id: str, show: Show) -> int:
    """Follow a run and return an exit status.

    Connection errors, 429 and 5xx are waited out. Nothing here ends a run.

    Args:
        server: where it runs.
        run_id: the run.
        show: prints a line.

    Returns:
        0: it has succeeded; 1: it has failed or was cancelled; 3: the run goes on, but the server
        is away or refuses us; 130: Ctrl-C, and the run goes on.

    Raises:
        InputError: there is no such run, or it was deleted.
    """
    try:
        return _follow(server, run_id, show)
    except KeyboardInterrupt:
        show("stopped watching; the run goes on")
        status = INTERRUPTED
    except ServerError as error:
        if error.status in (400, 404):
            raise InputError(f"there is no run '{run_id}' (or not any more): {error}") from None
        show(str(error))
        show("the run is not watched any more, but it is left as it is")
        status = NOT_WATCHED
    show(f"to watch it again: {resume_command(server.connection, run_id)}")
    return status


def _follow(server: Server, run_id: str, show: Show) -> int:
    run = _get(server, run_id, show)
    table = _Table(server, run_id, show, _names(server, run))
    table.begin()
    while True:
        table.update(run)
        if run.state in _ENDED:
            table.end(run)
            return int(run.state != "SUCCEEDED")
        server.sleep(POLL_S)
        run = _get(server, run_id, show)


def _get(server: Server, run_id: str, show: Show) -> Any:
    """The run as it is now. A refused token is read once more: it may just have been replaced."""
    failures, waited, refused = 0, 0.0, False
    while True:
        try:
            run = server.call(server.runs.run_service_get_run, run_id)
        except ServerError as error:
            failures += 1
            pause = server.pause(failures, error)
            again = error.passing or (error.status == 401 and not refused)
            refused = refused or error.status == 401
            if not again or waited + pause > PATIENCE_S:
                raise
            if failures == 1:
                show(f"{_clock(None)}  {error}; the run goes on, trying again")
            server.sleep(pause)
            waited += pause
        else:
            if failures:
                show(f"{_clock(None)}  the server answers again")
            return run


def _names(server: Server, run: Any) -> frozenset[str]:
    """The names of the run's tasks, from the pipeline's version; empty if it cannot be read."""
    names = task_names(run.pipeline_spec)
    version = run.pipeline_version_reference
    if names or not version:
        return names
    try:
        found = server.get(
            server.pipelines.pipeline_service_get_pipeline_version,
            version.pipeline_id,
            version.pipeline_version_id,
        )
    except ServerError:
        return frozenset()
    return task_names(found.pipeline_spec)


@dataclass
class _Table:
    """What has been shown so far."""

    server: Server
    run_id: str
    show: Show
    names: frozenset[str]
    state: str = ""
    tasks: dict[str, Task] = field(default_factory=dict)

    def begin(self) -> None:
        if not self.names:
            self.show("the pipeline's version cannot be read: only the run's own state is shown")
        self.show(f"{'time':8}  {self._column('task')}  state")

    def update(self, run: Any) -> None:
        if run.state not in (self.state, *_ENDED, *UNKNOWN):
            self.show(f"{_clock(None)}  {self._column('(run)')}  {run.state}")
        self.state = run.state
        for task in read_tasks(run, self.names):
            before = self.tasks.get(task.key)
            self.tasks[task.key] = task
            if before is None or before.state != task.state:
                self._line(task)

    def end(self, run: Any) -> None:
        states = Counter(task.state for task in self.tasks.values())
        missing = self.names - {task.name for task in self.tasks.values()}
        if missing:
            states["not run"] = len(missing)
        counts = ", ".join(f"{n} {state}" for state, n in states.items())
        self.show(f"run {run.state}{f' ({counts})' if counts else ''}")
        if run.error and run.error.message:
            self.show(f"{_INDENT}error: {self.server.clean(run.error.message)}")
        self.show(self.server.run_link(self.run_id))

    def _line(self, task: Task) -> None:
        ended = task.ended if task.state in (*_ENDED, CACHED) else None
        took = ""
        if ended and task.started:
            took = f"  {_duration((ended - task.started).total_seconds())}"
        when = _clock(ended or task.started)
        self.show(f"{when}  {self._column(task.name)}  {task.state}{took}")
        if task.state == "FAILED":
            self._failure(task)

    def _failure(self, task: Task) -> None:
        space = self.server.connection.namespace
        if not space:
            space = "NAMESPACE" if self.server.multi_user else "kubeflow"
        message = self.server.clean(task.error) if task.error else "the server gives no reason"
        self.show(f"{_INDENT}error: {message}")
        if task.pod:
            pod = self.server.clean(task.pod)
            self.show(f"{_INDENT}pod: {pod}")
            self.show(f"{_INDENT}log: kubectl logs -n {space} {pod} -c main")
            return
        self.show(f"{_INDENT}pod: the server does not name it; it is one of these:")
        self.show(
            f"{_INDENT}  kubectl get pods -n {space} -l pipeline/runid={self.run_id} "
            "--field-selector=status.phase=Failed"
        )
        self.show(f"{_INDENT}log: kubectl logs -n {space} POD -c main")

    def _column(self, name: str) -> str:
        width = max(map(len, (*self.names, "(run)")))
        return f"{self.server.clean(name):{width}}"


def _clock(time: datetime | None) -> str:
    return f"{(time or datetime.now()).astimezone():%H:%M:%S}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
