"""What the tests of tracking on Kubeflow share: one tracking server, and the pods' environment."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.components.tracked_stages import set_environment
from tests.components.tracking_server import tracking_server

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tests.components.kubeflow_pods import Plugin


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a tracking server: to start one takes ten seconds."""
    with tracking_server(tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture
def pod(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the environment of a pod; ``pod(stage, key=value...)`` that of another one."""
    from components.tracking import parent

    pipeline_run = str(uuid4())
    set_environment(monkeypatch, tmp_path / "volume")

    def environment(stage: str, **more: str) -> None:
        values = {
            "KUBERNETES_SERVICE_HOST": "10.0.0.1",
            "KFP_POD_NAME": f"pod-{stage}",
            "MLFLOW_TRACKING_URI": server,
            "MLFLOW_EXPERIMENT_NAME": tmp_path.name,
            "FOURSTEP_PIPELINE_RUN": pipeline_run,
            "FOURSTEP_STAGE": stage,
            "FOURSTEP_KFP_UI": "https://kubeflow.example.org/pipeline/",
            "FOURSTEP_SPOOL": str(tmp_path / "volume"),
            "FOURSTEP_TRACKING_WAIT": "0.01",
        }
        for name, value in (values | more).items():
            monkeypatch.setenv(name, value)

    environment("prepare")
    monkeypatch.setattr(parent, "SETTLE_S", 0.0)
    return environment


@pytest.fixture
def client(server: str) -> "MlflowClient":
    """A client of the server."""
    from mlflow import MlflowClient

    return MlflowClient(server)


@pytest.fixture
def plugin(client: "MlflowClient", tmp_path: Path) -> "Plugin":
    """Kubeflow's own MLflow plugin, with the parent of one pipeline run."""
    from tests.components.kubeflow_pods import Plugin

    return Plugin.start(client, f"{tmp_path.name}-kfp", "x")
