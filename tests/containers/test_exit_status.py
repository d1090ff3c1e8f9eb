"""The exit status of a container that is over at once, which kfp's own runner may miss."""

import contextlib

import docker as client
import pytest

from pipelines.exit_status import run_container


@pytest.fixture
def engine():
    with contextlib.closing(client.from_env()) as engine:
        yield engine


@pytest.mark.parametrize("status", [0, 3, 137])
def test_the_exit_status_is_the_containers_own(engine, images, status, capsys):
    before = {container.id for container in engine.containers.list(all=True)}
    for _ in range(5):
        command = ["sh", "-c", f"echo spoken; exit {status}"]
        assert run_container(engine, images["register"], command, {}) == status
        assert capsys.readouterr().out == "spoken\n"
    assert {container.id for container in engine.containers.list(all=True)} == before
