"""Put a compiled pipeline on the server, as a version of the pipeline of its name."""

from dataclasses import dataclass
from typing import Any

import kfp_server_api

from components.errors import InputError
from pipelines.document import Documents
from pipelines.submit.create import create_once
from pipelines.submit.errors import ServerError
from pipelines.submit.server import Server


@dataclass(frozen=True)
class Uploaded:
    """A version of a pipeline on the server."""

    pipeline_id: str
    version_id: str
    new: bool
    """Whether it was uploaded now; else it had been there."""


def upload(server: Server, package: Documents, version: str) -> Uploaded:
    """Find or make the pipeline of the package's name and this version of it.

    Args:
        server: where.
        package: the compiled pipeline.
        version: the version's name; one of this name is taken to hold the same content.

    Raises:
        InputError: the server refuses the pipeline; the message holds its reason.
    """
    pipeline = _pipeline(server, package.name)
    found = _look_version(server, pipeline, version)
    new = found is None
    if found is None:
        found = _upload_version(server, package, pipeline, version)
    error = found.error.message if found.error else None
    if error:
        raise InputError(f"{package.path}: the server cannot use version {version}: {error}")
    return Uploaded(pipeline, found.pipeline_version_id, new)


def _pipeline(server: Server, name: str) -> str:
    found = _look_pipeline(server, name)
    if found is None:
        wanted = kfp_server_api.V2beta1Pipeline(display_name=name, **server.in_namespace)
        found = create_once(
            server,
            f"the pipeline '{name}'",
            lambda: server.call(server.pipelines.pipeline_service_create_pipeline, wanted),
            lambda: _look_pipeline(server, name),
        )
    return str(found.pipeline_id)


def _look_pipeline(server: Server, name: str) -> Any | None:
    return server.find(
        server.pipelines.pipeline_service_list_pipelines, "pipelines", name, **server.in_namespace
    )


def _look_version(server: Server, pipeline: str, version: str) -> Any | None:
    return server.find(
        server.pipelines.pipeline_service_list_pipeline_versions,
        "pipeline_versions",
        version,
        pipeline,
    )


def _upload_version(server: Server, package: Documents, pipeline: str, version: str) -> Any:
    try:
        return create_once(
            server,
            f"the version '{version}'",
            lambda: server.call(
                server.uploads.upload_pipeline_version,
                str(package.path),
                name=version,
                pipelineid=pipeline,
            ),
            lambda: _look_version(server, pipeline, version),
        )
    except ServerError as error:
        if error.status in (400, 500):  # the upload answers 500 for a pipeline that is wrong, too
            raise InputError(f"{package.path}: the server refuses the pipeline: {error}") from None
        raise
