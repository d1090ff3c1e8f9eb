"""`fourstep submit` and `fourstep watch`: runs on Kubeflow Pipelines."""

import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from components.errors import InputError
from pipelines.submit import (
    CANCELED_STATUS,
    FAILED_STATUS,
    Connection,
    Outcome,
    Server,
    check_parameters,
    check_version,
    create_run,
    find_experiment,
    read_package,
    resume_command,
    shown_login,
    upload,
    watch_run,
)


def check_resubmit(resubmit: int, *, follow: bool) -> None:
    """Refuse to send a run again that nobody watches.

    Raises:
        InputError: there is --resubmit without --watch.
    """
    if resubmit and not follow:
        raise InputError(
            f"--resubmit {resubmit}: only a run that is watched is sent again; add --watch"
        )


def submit(
    package: Path,
    connection: Connection,
    *,
    version: str,
    parameters: Mapping[str, Any],
    experiment: str | None = None,
    run_name: str | None = None,
    service_account: str | None = None,
    follow: bool = False,
    resubmit: int = 0,
) -> int:
    """Upload a compiled pipeline, start a run of it, and follow it if asked to.

    Args:
        package: what `fourstep compile` has written.
        connection: where to.
        version: the version's name, made from the package's content: if there is a version of this
            name, it is used as it is.
        parameters: values of the pipeline's inputs; those left out have their defaults.
        experiment: must exist; without it, the experiment "Default" is used.
        run_name: what the UI calls the run; by default the pipeline's name and the time.
        service_account: the Kubernetes service account of its pods.
        follow: whether to watch it to its end.
        resubmit: how often a run that has failed is sent again.

    Returns:
        The exit status: 0 if the run was started, or, if watched, has succeeded; else as
        `pipelines.submit.watch_run`, of the last run.

    Raises:
        InputError: a parameter is wrong, or the server cannot be used or refuses.
    """
    check_resubmit(resubmit, follow=follow)
    pipeline = read_package(package)
    check_parameters(pipeline, parameters)
    first = run_name or f"{pipeline.name} {datetime.now():%Y-%m-%d %H:%M:%S}"
    names = [first, *(f"{first} (again {n})" for n in range(1, resubmit + 1))]
    name = first
    try:
        server = _connect(connection)
        check_version(server)
        where = find_experiment(server, experiment)
        uploaded = upload(server, pipeline, version)
        state = "uploaded" if uploaded.new else "was there already"
        _show(f"pipeline '{pipeline.name}': version {version} {state}")
        _show(f"experiment '{where.display_name}'")
        for name in names:
            run_id = create_run(
                server, uploaded, where.experiment_id, name, parameters, service_account
            )
            _show(f"run '{name}': {server.run_link(run_id)}")
            if not follow:
                _show(f"to watch it: {resume_command(connection, run_id)}")
                return 0
            outcome = watch_run(server, run_id, _show)
            if name == names[-1] or not _can_help(outcome):
                break
            _show("sent again: what is done comes from the cache, a training goes on")
    except KeyboardInterrupt:
        _show(f"interrupted; if the run '{name}' has been started, the UI lists it")
        return 130
    return outcome.status


def _can_help(outcome: Outcome) -> bool:
    """Whether a run that ended so may succeed if it is sent again; says why not."""
    if outcome.status == CANCELED_STATUS:
        _show("not sent again: a person has ended it")
    elif outcome.refused:
        _show(f"not sent again: {outcome.refused} refuses its input, which must be mended first")
    return outcome.status == FAILED_STATUS and not outcome.refused


def watch(run_id: str, connection: Connection) -> int:
    """Follow a run that was started before; the exit status is as `pipelines.submit.watch_run`.

    Raises:
        InputError: there is no such run, or the server cannot be used.
    """
    try:
        server = _connect(connection)
    except KeyboardInterrupt:
        return 130
    _show(server.run_link(run_id))
    return watch_run(server, run_id, _show).status


def _connect(connection: Connection) -> Server:
    if login := shown_login(connection):
        print(
            f"warning: {connection.host}: the {login} goes over plain http, where others on the "
            "way can read it; use https",
            file=sys.stderr,
        )
    return Server(connection)


def _show(line: str) -> None:
    print(line, flush=True)
