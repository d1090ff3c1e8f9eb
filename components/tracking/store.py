"""The MLflow side: what each event of a spool becomes there.

Everything here may be done twice with the same result, for a shipper may be killed between
doing a thing and writing down that it is done.
"""

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
# A server that is away is found out in seconds, not minutes: the spool waits, not the stage.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from components.digest import path_digest
from components.tracking import lineage
from components.tracking.spool import Event, Spool, tracking_uri

KEY_LENGTH, PARAM_LENGTH, TAG_LENGTH = 250, 6000, 8000
DATASET_DIGEST_LENGTH = 36
METRICS, PARAMS, TAGS = 1000, 100, 100
"""MLflow's limits for one ``log_batch``."""

REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE")


def open_client() -> MlflowClient:
    """A client of the present tracking server; a new database is set up on the way."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    client = MlflowClient(tracking_uri())
    client.search_experiments(max_results=1)
    return client


def refused(error: Exception) -> bool:
    """Whether trying again is pointless: MLflow or this program cannot take the event.

    Everything else (no connection, no permission, a locked database) may pass.
    """
    if isinstance(error, MlflowException):
        return error.error_code in REFUSALS
    if isinstance(error, OSError):
        return isinstance(error, FileNotFoundError)
    return isinstance(error, ValueError | TypeError | LookupError | AttributeError | ImportError)


def handle(client: MlflowClient, spool: Spool, events: Sequence[Event]) -> None:
    """Do what a batch of events says: one event, or many metrics."""
    event, run = events[0], spool.progress.get("run_id", "")
    match event["event"]:
        case "start":
            spool.progress |= start(client, spool.folder.name, event)
            spool.save()
        case "metrics":
            log(client, run, metrics=[m for e in events for m in metrics_of(e)])
        case "tags":
            log(client, run, tags=event["values"])
        case "artifact":
            log_artifact(client, run, event)
        case "register":
            from components.tracking.registry import register

            register(client, run, event)
        case "end":
            end(client, spool.progress, event)


def start(client: MlflowClient, key: str, event: Event) -> dict[str, Any]:
    """Open the stage's run, below its parent if it has one, with the parent's lineage complete.

    The contract: a given run is resumed; else a given parent, or that of the pipeline run, gets
    a nested run; else it is a run of its own.
    """
    if event["run_id"]:
        run = client.get_run(event["run_id"])
        parent = run.data.tags.get("mlflow.parentRunId")
        client.update_run(run.info.run_id, status="RUNNING")
    else:
        parent = event["parent_run_id"]
        experiment = experiment_id(client, event["experiment"], parent)
        parent = parent or find_parent(client, experiment, event)
        run = find_or_create(client, experiment, key, parent, event)
    if parent:
        client.update_run(parent, status="RUNNING")
        describe(client, parent, event["data_version"], event["data_path"])
        lineage.complete(client, run.info.experiment_id, parent, event["inputs"])
    log(client, run.info.run_id, params=event["parameters"], tags=tags_of(event))
    return {"run_id": run.info.run_id, "parent_id": parent} | {
        key: event[key] for key in ("name", "data_path")
    }


def experiment_id(client: MlflowClient, name: str, parent: str | None) -> str:
    """The experiment of the parent, or the one with this name, made if need be."""
    if parent:
        return str(client.get_run(parent).info.experiment_id)
    if found := client.get_experiment_by_name(name):
        return str(found.experiment_id)
    return str(client.create_experiment(name))


def find_parent(client: MlflowClient, experiment: str, event: Event) -> str | None:
    """The run of the whole pipeline run, made by its first stage; None without a pipeline run."""
    key = event["pipeline_run"]
    if not key:
        return None
    if found := search(client, experiment, {"fourstep.pipeline_run": key}):
        return str(found.info.run_id)
    tags = {"fourstep.pipeline_run": key, "fourstep.engine": event["engine"]} | event["git"]
    run = client.create_run(experiment, event["time"], tags, parent_name(tags))
    return str(run.info.run_id)


def parent_name(tags: Mapping[str, str]) -> str:
    """``four-step <data version> <commit>``, as far as they are known."""
    data = tags.get("fourstep.data_version", "")[:8]
    commit = tags.get("mlflow.source.git.commit", "")[:7]
    return " ".join(filter(None, ["four-step", data, commit]))


def describe(client: MlflowClient, parent: str, version: str | None, path: str | None) -> None:
    """Tell a parent its data set, as soon as a stage knows the version and the folder."""
    run = client.get_run(parent)
    tags = run.data.tags
    if version and tags.get("fourstep.data_version") != version:
        client.set_tag(parent, "fourstep.data_version", version)
        if "fourstep.pipeline_run" in tags:  # a parent of our own making
            name = parent_name(tags | {"fourstep.data_version": version})
            client.update_run(parent, name=name)
    recorded = run.inputs.dataset_inputs if run.inputs else []
    if version and path and not recorded:
        source = json.dumps({"uri": path})
        data = Dataset(Path(path).name, version[:DATASET_DIGEST_LENGTH], "local", source)
        client.log_inputs(parent, [DatasetInput(data)])


def find_or_create(
    client: MlflowClient, experiment: str, key: str, parent: str | None, event: Event
) -> Run:
    """The run of this spool: the one that a killed shipper made, or a new one."""
    tags = {"fourstep.spool": key}
    if found := search(client, experiment, tags):
        return found
    if parent:
        tags["mlflow.parentRunId"] = parent
    return client.create_run(experiment, event["time"], tags, event["name"])


def search(client: MlflowClient, experiment: str, tags: Mapping[str, str]) -> Run | None:
    """The oldest run with these tags."""
    clauses = [f"tags.\"{k}\" = '{v.replace(chr(39), '')}'" for k, v in tags.items()]
    found = client.search_runs(
        [experiment], " and ".join(clauses), max_results=1, order_by=["attributes.start_time"]
    )
    return found[0] if found else None


def tags_of(event: Event) -> dict[str, str]:
    """The tags that a stage's run has from its start."""
    known = {
        "mlflow.source.name": f"components.{event['stage']}",
        "fourstep.stage": event["stage"],
        "fourstep.engine": event["engine"],
        "fourstep.inputs": json.dumps(event["inputs"], sort_keys=True),
        "fourstep.data_version": event["data_version"],
    }
    return {k: v for k, v in (known | event["git"]).items() if v}


def metrics_of(event: Event) -> Iterator[Metric]:
    """The metrics of one event, as MLflow's entities."""
    for name, value in event["values"].items():
        yield Metric(clean(name), value, event["time"], event["step"])


def clean(name: str) -> str:
    """A name as MLflow takes it: no ``@`` (of a DVC stage) and no other signs."""
    return re.sub(r"[^\w. :/-]", "_", name.replace("@", "."))[:KEY_LENGTH]


def log(
    client: MlflowClient,
    run: str,
    *,
    metrics: Sequence[Metric] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Send metrics, parameters and tags in as few calls as MLflow allows."""
    entries = [Param(clean(k), v[:PARAM_LENGTH]) for k, v in (params or {}).items()]
    words = [RunTag(k[:KEY_LENGTH], v[:TAG_LENGTH]) for k, v in (tags or {}).items()]
    for at in range(0, len(metrics), METRICS):
        client.log_batch(run, metrics=metrics[at : at + METRICS])
    for at in range(0, len(entries), PARAMS):
        client.log_batch(run, params=entries[at : at + PARAMS])
    for at in range(0, len(words), TAGS):
        client.log_batch(run, tags=words[at : at + TAGS])


def log_artifact(client: MlflowClient, run: str, event: Event) -> None:
    """Upload a file, or the files of a folder.

    Raises:
        ValueError: it is no longer what the stage recorded.
    """
    path = unchanged(event)
    if path.is_dir():
        client.log_artifacts(run, str(path), event["folder"] or None)
    else:
        client.log_artifact(run, str(path), event["folder"] or None)


def unchanged(event: Event) -> Path:
    """The path of an event, whose content must still be what the stage recorded.

    Raises:
        ValueError: a later run has overwritten it.
    """
    path = Path(event["path"])
    if path_digest(path) != event["digest"]:
        raise ValueError(f"{path} has changed since the stage recorded it; it is not uploaded")
    return path


def end(client: MlflowClient, progress: Mapping[str, Any], event: Event) -> None:
    """Close the stage's run, and bring the parent up to date."""
    run, parent, status = progress["run_id"], progress["parent_id"], event["status"]
    tags = {"fourstep.outputs": json.dumps(event.get("outputs", {}), sort_keys=True)}
    if event.get("data_version"):
        tags["fourstep.data_version"] = event["data_version"]
    log(client, run, tags=tags)
    client.set_terminated(run, status, event["time"])
    if parent:
        describe(client, parent, event.get("data_version"), progress["data_path"])
        mirror(client, client.get_run(run), parent, progress["name"])
        client.set_terminated(parent, status, event["time"])


def mirror(client: MlflowClient, run: Run, parent: str, name: str) -> None:
    """Put a stage's parameters and last metrics on the parent, as ``<stage>.<name>``.

    MLflow's page of two runs side by side shows only what the two runs have themselves.
    """
    when = run.info.end_time or run.info.start_time
    metrics = [Metric(clean(f"{name}.{k}"), v, when, 0) for k, v in run.data.metrics.items()]
    log(client, parent, metrics=metrics)
    log(client, parent, params={f"{name}.{k}": v for k, v in run.data.params.items()})
