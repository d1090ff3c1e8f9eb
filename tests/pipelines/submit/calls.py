"""How the tests of submit and watch call them, and what they send."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import kfp_server_api as api

from cli import submit as command
from pipelines.submit import Connection, Server, watch_run
from tests.pipelines.kfp_server import Frame, KfpServer

SECRET = "s3cret-token.abc"
PARAMETERS = {"train_rpn": {"solver": {"lr": 0.002}}, "data_version": "4fe5.dir"}
DONE = Frame("SUCCEEDED", {"first": "SUCCEEDED", "second": "SUCCEEDED"})


def connection(kfp: KfpServer, **changes: Any) -> Connection:
    return replace(Connection(kfp.url), **changes)


def submit(kfp: KfpServer, package: Path, changes: dict | None = None, **options: Any) -> int:
    options = {"version": "v-4fe5", "parameters": PARAMETERS} | options
    return command.submit(package, connection(kfp, **(changes or {})), **options)


def watch(
    kfp: KfpServer, sleep: Callable[[float], None] = lambda _: None, **changes: Any
) -> tuple[int, list[str]]:
    """Follow run-0, which is started first if there is none; exit status and lines."""
    if not kfp.runs:
        start(kfp)
    lines: list[str] = []
    server = Server(connection(kfp, **changes), sleep=sleep)
    return watch_run(server, "run-0", lines.append).status, lines


def start(
    kfp: KfpServer, namespace: str | None = None, tasks: tuple[str, ...] = ("first", "second")
) -> None:
    """A run without the client's help."""
    kfp.add_experiment("Default", namespace)
    spec = {
        "components": {"comp-1": {"executorLabel": "e"}},
        "root": {"dag": {"tasks": {n: {"componentRef": {"name": "comp-1"}} for n in tasks}}},
    }
    version = api.V2beta1PipelineVersion(
        pipeline_id="pipe-0", pipeline_version_id="version-0", pipeline_spec=spec
    )
    kfp.versions.append(version)
    reference = api.V2beta1PipelineVersionReference("pipe-0", "version-0")
    kfp.runs.append(
        api.V2beta1Run(experiment_id="exp-0", run_id="run-0", pipeline_version_reference=reference)
    )
