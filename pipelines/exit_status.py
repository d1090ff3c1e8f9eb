"""How a container ended, for kfp's local runner, which may call one that failed a success.

kfp asks after a container that the engine removes by itself; one that is gone by then counts as a
success (kubeflow/pipelines #13332), and what follows runs on: on data that check_data refused, say.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from docker import DockerClient
from kfp.local import docker_task_handler


@contextmanager
def true_exit_status() -> Iterator[None]:
    """Let kfp's local runner run its containers by `run_container`."""
    theirs = docker_task_handler.run_docker_container
    docker_task_handler.run_docker_container = run_container
    try:
        yield
    finally:
        docker_task_handler.run_docker_container = theirs


def run_container(
    client: DockerClient,
    image: str,
    command: Sequence[str],
    volumes: Mapping[str, Any],
    **options: Any,
) -> int:
    """Run a container, print its log as it comes, remove it; its exit status.

    Raises:
        docker.errors.DockerException: it could not be run.
    """
    container = client.containers.run(image, command, volumes=volumes, detach=True, **options)
    try:
        for line in container.logs(stream=True):
            print(line.decode(errors="replace"), end="")
        return int(container.wait()["StatusCode"])
    finally:
        container.remove(force=True)
