"""Start a run of a pipeline's version."""

import uuid
from collections.abc import Mapping
from typing import Any

import kfp_server_api

from components.errors import InputError
from pipelines.submit.create import create_once
from pipelines.submit.errors import ServerError
from pipelines.submit.server import Server
from pipelines.submit.upload import Uploaded
from pipelines.submit.version import TOO_OLD


def create_run(
    server: Server,
    version: Uploaded,
    experiment: str,
    name: str,
    parameters: Mapping[str, Any],
    service_account: str | None = None,
) -> str:
    """Start a run, once, and return its id.

    Names of runs are not unique. So the description holds a mark, by which the run is found again
    if the answer to its creation gets lost.

    Args:
        server: where.
        version: what to run.
        experiment: the experiment's id.
        name: what the UI calls the run.
        parameters: values of the pipeline's inputs; those left out have their defaults.
        service_account: the Kubernetes service account of its pods; None for the server's own.

    Raises:
        InputError: the server refuses it, or it is not certain that it has been started.
    """
    mark = f"fourstep submit {uuid.uuid4().hex}"
    wanted = kfp_server_api.V2beta1Run(
        display_name=name,
        description=mark,
        experiment_id=experiment,
        pipeline_version_reference=kfp_server_api.V2beta1PipelineVersionReference(
            pipeline_id=version.pipeline_id, pipeline_version_id=version.version_id
        ),
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=dict(parameters)),
        service_account=service_account,
    )
    try:
        made = create_once(
            server,
            f"the run '{name}'",
            lambda: server.call(server.runs.run_service_create_run, wanted),
            lambda: _look(server, experiment, name, mark),
            page=server.experiment_link(experiment),
        )
    except ServerError as error:
        if error.status == 400:
            hint = f"; {TOO_OLD}" if "unknown field" in str(error) else ""
            raise InputError(f"the server refuses the run '{name}': {error}{hint}") from None
        raise
    return str(made.run_id)


def _look(server: Server, experiment: str, name: str, mark: str) -> Any | None:
    found = server.named(server.runs.run_service_list_runs, "runs", name, experiment_id=experiment)
    return next((run for run in found if run.description == mark), None)
