"""Follow a run until its end."""

from dataclasses import dataclass
from typing import Any

from components.errors import InputError
from pipelines.submit.connection import resume_command
from pipelines.submit.errors import ServerError
from pipelines.submit.server import Server
from pipelines.submit.table import Show, Table, clock
from pipelines.submit.tasks import CANCELED, ENDED, SUCCEEDED, list_lags, task_names

POLL_S = 5.0
"""The pause between two looks at a run."""
PATIENCE_S = 1800.0
"""How long a server that is away is waited for."""
LOOKS = 4
"""How often a list of tasks is looked at that lags behind the end of its run."""
FAILED_STATUS = 1
NOT_WATCHED = 3
"""Exit status: the run goes on, but cannot be followed from here."""
CANCELED_STATUS = 4
INTERRUPTED = 130


@dataclass(frozen=True)
class Outcome:
    """How following a run has ended."""

    status: int
    """The exit status; see `watch_run`."""
    refused: str = ""
    """The task that has refused its input, if one has: the same run would fail again."""


def watch_run(server: Server, run_id: str, show: Show) -> Outcome:
    """Follow a run to its end.

    Connection errors, 429 and 5xx are waited out. Nothing here ends a run.

    Args:
        server: where it runs.
        run_id: the run.
        show: prints a line.

    Returns:
        An exit status. 0: it has succeeded; 1: it has failed; 3: the run goes on, but the server is
        away or refuses us; 4: a person has ended it; 130: Ctrl-C, and the run goes on.

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
    return Outcome(status)


def _follow(server: Server, run_id: str, show: Show) -> Outcome:
    run = _get(server, run_id, show)
    table = Table(server, run_id, show, _names(server, run))
    table.begin()
    table.update(run)
    looks = 1
    while run.state not in ENDED or (list_lags(run) and looks < LOOKS):
        looks += run.state in ENDED
        server.sleep(POLL_S)
        run = _get(server, run_id, show)
        table.update(run)
    state = table.end(run)
    statuses = {SUCCEEDED: 0, CANCELED: CANCELED_STATUS}
    return Outcome(statuses.get(state, FAILED_STATUS), table.refused)


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
                show(f"{clock(None)}  {error}; the run goes on, trying again")
            server.sleep(pause)
            waited += pause
        else:
            if failures:
                show(f"{clock(None)}  the server answers again")
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
