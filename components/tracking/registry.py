"""The model registry: a version for each model, and which of them is the champion."""

import sys
from dataclasses import asdict, dataclass
from importlib.metadata import version as installed
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow.onnx
import onnx
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

from components.tracking.runs import log_batch
from components.tracking.spool import Event, tracking_uri, write_whole
from components.tracking.store import unchanged

CANDIDATE, CHAMPION = "candidate", "champion"


@dataclass(frozen=True)
class Score:
    """What is compared: a metric's value on one version of the data."""

    metric: str
    value: float
    data_version: str


def decide(score: Score, champion: Score | None) -> tuple[bool, str]:
    """Whether a model that has passed its gate becomes champion, and why.

    At least as good on the same data and metric is enough; values of different data or metrics
    say nothing about each other, so then the champion stays.
    """
    shown = f"{score.metric} {score.value:.4f}"
    if champion is None:
        return True, f"{shown}: there was no champion"
    if champion.data_version != score.data_version:
        return False, (
            f"{shown}, not comparable: the champion was measured on data "
            f"{champion.data_version[:8]}, this model on {score.data_version[:8]}"
        )
    if champion.metric != score.metric:
        return False, f"{shown}, not comparable: the champion was chosen by {champion.metric}"
    sign = ">=" if score.value >= champion.value else "<"
    return sign == ">=", f"{shown} {sign} the champion's {champion.value:.4f} on the same data"


def register(client: MlflowClient, run: str, event: Event) -> dict[str, Any]:
    """Register the model of an event, give it its aliases, and write the decision down.

    The event holds path, digest, reply (where the decision is written), model_name, metric,
    value and data_version. The reason is the version's description, too.

    Raises:
        ValueError: the model file has changed since.
    """
    mlflow.set_tracking_uri(tracking_uri())
    score = Score(event["metric"], event["value"], event["data_version"])
    name = event["model_name"]
    version = version_of(client, run, name) or new_version(client, run, name, unchanged(event))
    wins, reason = decide(score, champion_score(client, name))
    aliases = [CANDIDATE, CHAMPION] if wins else [CANDIDATE]
    commit = client.get_run(run).data.tags.get("mlflow.source.git.commit", "unknown")
    decision = {"reason": reason, "aliases": " ".join(aliases), "git_commit": commit}
    tags = {k: str(v) for k, v in asdict(score).items()} | decision
    for key, value in tags.items():
        client.set_model_version_tag(name, version, key, value)
    client.update_model_version(name, version, reason)
    for alias in aliases:
        client.set_registered_model_alias(name, alias, version)
    log_batch(
        client,
        run,
        tags={
            "fourstep.registered": f"{name} {version}: {', '.join(aliases)}",
            "fourstep.reason": reason,
        },
    )
    result = decision | {"model": name, "version": str(version), "champion": wins}
    reply = Path(event["reply"])
    write_whole(reply, result)
    return result


def champion_score(client: MlflowClient, name: str) -> Score | None:
    """The present champion's score; None if there is no champion."""
    try:
        tags = client.get_model_version_by_alias(name, CHAMPION).tags
        return Score(tags["metric"], float(tags["value"]), tags["data_version"])
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def version_of(client: MlflowClient, run: str, name: str) -> str | None:
    """The version that a killed shipper has already made of this run's model."""
    found: list[ModelVersion] = client.search_model_versions(f"run_id = '{run}'")
    return next((str(v.version) for v in found if v.name == name), None)


def new_version(client: MlflowClient, run: str, name: str, path: Path) -> str:
    """Upload the model with its signature and make a version of it."""
    graph = onnx.load(path)
    # mlflow imports onnxruntime even if it has nothing to do for it: 300 MB, not in every image.
    # (`find_spec` fails for an empty module that is there already.)
    if "onnxruntime" not in sys.modules and not find_spec("onnxruntime"):
        sys.modules["onnxruntime"] = ModuleType("onnxruntime")
    info = Model.log(
        artifact_path=None,
        name="model",
        flavor=mlflow.onnx,
        run_id=run,
        registered_model_name=name,
        onnx_model=graph,
        signature=signature(graph),
        pip_requirements=[f"{p}=={installed(p)}" for p in ("onnx", "numpy")] + ["onnxruntime"],
    )
    return str(info.registered_model_version)


def signature(model: onnx.ModelProto) -> ModelSignature:
    """The model's inputs and outputs, with -1 for each dynamic dimension."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    return ModelSignature(tensors(inputs), tensors(model.graph.output))


def tensors(values: Any) -> Schema:
    """An MLflow schema of ONNX values."""
    return Schema([tensor_spec(value) for value in values])


def tensor_spec(value: onnx.ValueInfoProto) -> TensorSpec:
    """One ONNX value's name, type and shape."""
    kind = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)
    return TensorSpec(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type), shape, value.name)
