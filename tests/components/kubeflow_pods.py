"""What stages on Kubeflow find there, and what its MLflow plugin does around them."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, ViewType


@dataclass(frozen=True)
class Plugin:
    """Kubeflow's own MLflow plugin, as its sources of 2.17 have it.

    The API server makes the parent and ends it (backend/src/apiserver/plugins/mlflow). The driver
    makes a nested run for a task, called as the task, and ends it if the task comes from the
    cache; else the launcher ends it with its pod (backend/src/v2/common/plugins/mlflow). Both send
    the task's parameters as JSON, and its metrics without a time.
    """

    client: MlflowClient
    experiment: str
    parent: str

    @classmethod
    def start(cls, client: MlflowClient, experiment: str, run: str) -> "Plugin":
        """The API server's part: an experiment and the parent."""
        tags = {
            "kfp.pipeline_run_id": run,
            "kfp.pipeline_run_url": f"/#/runs/details/{run}",
        }
        found = client.get_experiment_by_name(experiment)
        key = found.experiment_id if found else client.create_experiment(experiment)
        parent = client.create_run(key, tags=tags, run_name=f"four-step {run}")
        return cls(client, key, str(parent.info.run_id))

    def task(self, name: str) -> str:
        """The driver's part: a nested run."""
        tags = {"mlflow.parentRunId": self.parent}
        return str(self.client.create_run(self.experiment, None, tags, name).info.run_id)

    def environment(self, run: str) -> dict[str, str]:
        """What a task's pod gets with ``injectUserEnvVars: true``, its own variables aside."""
        config = {
            "endpoint": self.client.tracking_uri,
            "parentRunId": self.parent,
            "experimentId": self.experiment,
            "authType": "none",
            "timeout": "30s",
            "injectUserEnvVars": True,
        }
        return {
            "MLFLOW_RUN_ID": run,
            "MLFLOW_TRACKING_URI": str(self.client.tracking_uri),
            "MLFLOW_EXPERIMENT_ID": self.experiment,
            "KFP_MLFLOW_CONFIG": json.dumps(config),
        }

    def end(
        self,
        run: str,
        status: str = "FINISHED",
        metrics: Mapping[str, float] | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        """The end of a task."""
        self.client.log_batch(
            run,
            metrics=[Metric(k, v, 0, 0) for k, v in (metrics or {}).items()],
            params=[Param(k, json.dumps(v)) for k, v in (parameters or {}).items()],
        )
        self.client.set_terminated(run, status, int(time.time() * 1000))

    def nested(self) -> list[Run]:
        """The runs below the parent, oldest first."""
        clause = f"tags.mlflow.parentRunId = '{self.parent}'"
        found = self.client.search_runs([self.experiment], clause, order_by=["start_time"])
        return list(found)

    def status(self, run: str) -> str:
        """A run's status."""
        return str(self.client.get_run(run).info.status)


def runs(client: MlflowClient, place: Path, view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
    """The test's runs, oldest first."""
    experiment = client.get_experiment_by_name(place.name)
    assert experiment
    return list(client.search_runs([experiment.experiment_id], "", view, order_by=["start_time"]))


def parents(client: MlflowClient, place: Path) -> list[Run]:
    """The test's runs of whole pipeline runs."""
    return [r for r in runs(client, place) if "fourstep.pipeline_run" in r.data.tags]


def named(client: MlflowClient, place: Path, name: str) -> list[Run]:
    """The test's runs of a stage, oldest first."""
    return [r for r in runs(client, place) if r.info.run_name == name]
