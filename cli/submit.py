"""`fourstep submit` and `fourstep watch`: runs on Kubeflow Pipelines."""

import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pipelines.submit import (
    Connection,
    Server,
    check_parameters,
    create_run,
    find_experiment,
    read_package,
    resume_command,
    shows_token,
    upload,
    watch_run,
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

    Returns:
        The exit status: 0 if the run was started, or, if watched, has succeeded; else as
        `pipelines.submit.watch_run`.

    Raises:
        InputError: a parameter is wrong, or the server cannot be used or refuses.
    """
    pipeline = read_package(package)
    check_parameters(pipeline, parameters)
    name = run_name or f"{pipeline.name} {datetime.now():%Y-%m-%d %H:%M:%S}"
    try:
        server = _connect(connection)
        where = find_experiment(server, experiment)
        uploaded = upload(server, pipeline, version)
        state = "uploaded" if uploaded.new else "was there already"
        _show(f"pipeline '{pipeline.name}': version {version} {state}")
        _show(f"experiment '{where.display_name}'")
        run_id = create_run(
            server, uploaded, where.experiment_id, name, parameters, service_account
        )
    except KeyboardInterrupt:
        _show(f"interrupted; if the run '{name}' has been started, the UI lists it")
        return 130
    _show(f"run '{name}': {server.run_link(run_id)}")
    if not follow:
        _show(f"to watch it: {resume_command(connection, run_id)}")
        return 0
    return watch_run(server, run_id, _show)


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
    return watch_run(server, run_id, _show)


def _connect(connection: Connection) -> Server:
    if shows_token(connection):
        print(
            f"warning: {connection.host}: the token goes over plain http, where others on the way "
            "can read it; use https",
            file=sys.stderr,
        )
    return Server(connection)


def _show(line: str) -> None:
    print(line, flush=True)
