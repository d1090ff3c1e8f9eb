"""What is recorded of every stage: all that is known at its start, and its outputs."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from components.contract import Input, Output, parameters, paths, roles, stage_name
from components.digest import path_digest
from components.errors import InputError
from components.metrics import read_metrics
from components.tracking import pipeline_run
from components.tracking.run import Run


def start_event(stage: Any) -> dict[str, Any]:
    """Everything known about a stage run at its start."""
    return {
        "name": run_name(stage_name(stage)),
        "stage": stage_name(stage),
        "experiment": os.environ.get("MLFLOW_EXPERIMENT_NAME") or "fourstep",
        "experiment_id": os.environ.get("MLFLOW_EXPERIMENT_ID"),
        "run_id": os.environ.get("MLFLOW_RUN_ID"),
        "parent_run_id": os.environ.get("FOURSTEP_PARENT_RUN_ID"),
        "pipeline_run": pipeline_run.pipeline_run(),
        "pipeline": pipeline_run.pipeline_name(),
        "engine": pipeline_run.engine(),
        "kubeflow": pipeline_run.kubeflow_tags(),
        "pod": pipeline_run.pod_tags(),
        "restarts": int(os.environ.get("FOURSTEP_RESTARTS") or 0),
        "restart_reason": os.environ.get("FOURSTEP_RESTART_REASON"),
        "git": pipeline_run.git_tags(),
        "parameters": {k: str(v) for k, v in parameters(stage).items()},
        "inputs": digests(paths(stage, Input)),
        "data_version": data_version(paths(stage, Input)),
        "data_path": str(stage.data.absolute()) if "data" in paths(stage, Input) else None,
    }


def run_name(stage: str) -> str:
    """What a stage's run in MLflow is called: as its engine calls the stage, if that says."""
    dvc_stage = os.environ.get("DVC_STAGE", "").rpartition(":")[2]  # joint/dvc.yaml:evaluate
    return os.environ.get("FOURSTEP_STAGE") or dvc_stage or stage


def record_outputs(stage: Any, run: Run) -> dict[str, Any]:
    """Record metrics, pages and details of a finished stage; returns what its end event holds."""
    outputs, declared = paths(stage, Output), roles(stage)
    for name, path in outputs.items():
        role = declared[name]
        assert isinstance(role, Output)
        if role.kind == "Metrics":
            with suppress(InputError):
                run.metrics(read_metrics(path))
        elif role.kind in ("HTML", "Plot") or role.detail:
            run.artifact(path, name)
    return {"outputs": digests(outputs), "data_version": data_version(outputs)}


def digests(named: Mapping[str, Path]) -> dict[str, str]:
    """The digest of each path; not of the raw data set, for which the index stands."""
    return {
        name: path_digest(path) for name, path in named.items() if name != "data" and path.exists()
    }


def data_version(named: Mapping[str, Path]) -> str | None:
    """The digest of the data set, if one of the paths is its index."""
    if "index" not in named:
        return None
    from components.dataset.index import read_index  # pyarrow is heavy

    with suppress(InputError, OSError):
        return read_index(named["index"]).digest
    return None
