"""The MLflow side: what each event of a spool becomes there.

Everything here may be done twice with the same result, for a shipper may be killed between
doing a thing and writing down that it is done.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
# A server that is away is found out in seconds, not minutes: the spool waits, not the stage.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

from mlflow import MlflowClient
from mlflow.entities import Metric, Run
from mlflow.exceptions import MlflowException

from components.digest import path_digest
from components.redact import redact
from components.tracking import attempts, lineage
from components.tracking.parent import (
    describe,
    end_parent,
    find_parent,
    link,
    mirror,
    say_pipeline,
)
from components.tracking.pipeline_run import FOUR_STEP
from components.tracking.runs import (
    KUBEFLOWS,
    NAME,
    PARENT,
    delete_twins,
    log_batch,
    search,
    valid_name,
)
from components.tracking.spool import Event, Spool, tracking_uri

LOG = logging.getLogger(__name__)

REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE")

TOO_LARGE = 413
"""HTTP status of a proxy that takes no upload of such a size; it would hold up all that follows."""


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
    if getattr(getattr(error, "response", None), "status_code", None) == TOO_LARGE:
        return True
    if isinstance(error, MlflowException):
        return error.error_code in REFUSALS
    if isinstance(error, OSError):
        return isinstance(error, FileNotFoundError)
    return isinstance(error, ValueError | TypeError | LookupError | AttributeError | ImportError)


def handle(client: MlflowClient, spool: Spool, events: Sequence[Event]) -> None:
    """Do what a batch of events says: one event, or many metrics."""
    event, run = events[0], spool.progress.get("run_id", "")
    key, task = spool.folder.name, spool.progress.get("task")
    match event["event"]:
        case "start":
            lives = not spool.writer_is_gone()
            spool.progress |= start(client, key, event, lives)
            spool.save()
        case "metrics":
            metrics = [m for e in events for m in metrics_of(e)]
            again = spool.progress.get("again")
            news = list(attempts.unheard(client, run, metrics)) if again else metrics
            log_batch(client, run, metrics=news)
        case _ if task and attempts.is_late(client.get_run(run), key, task):
            LOG.warning("%s: a later attempt tells its own %s", key, event["event"])
        case "tags":
            log_batch(client, run, tags=event["values"])
        case "artifact":
            log_artifact(client, run, event)
        case "register":
            from components.tracking.registry import register

            register(client, run, event)
        case "end":
            end(client, spool.progress, event)


def start(client: MlflowClient, key: str, event: Event, lives: bool) -> dict[str, Any]:
    """Open the stage's run, below its parent if it has one, with the parent's lineage complete.

    Args:
        client: of the tracking server.
        key: the spool's name.
        event: the stage's first event.
        lives: whether the stage is at work now.
    """
    given, parent = given_runs(client, event)
    experiment = given.info.experiment_id if given else experiment_id(client, event, parent)
    if not given:
        parent = parent or find_parent(client, experiment, event)
    task = attempts.task_of(event)
    mark = {attempts.TASK: task} if event["pipeline_run"] else {attempts.SPOOL: key}
    run = given or find_or_create(client, experiment, mark, parent, event)
    kept = kept_by_kubeflow(client, event, given, parent)
    late = attempts.is_late(run, key, task)
    claimed = {} if late else attempts.claim(run, key, event)
    again = late or attempts.RESTARTS in run.data.tags | claimed
    if not late:
        if parent:
            reopen(client, parent, kept)
            update_parent(client, experiment, parent, event)
        if given or again:  # Kubeflow's plugin ends a run with its pod, and does not reopen it
            reopen(client, run.info.run_id, [] if again and lives else kept)
        describe_run(client, run, event, claimed)
    return {
        "run_id": run.info.run_id,
        "run_url": run_url(run),
        "parent_id": parent,
        "kept": kept,
        "data_path": event["data_path"],
        "mark": mark,
        "task": task,
        "again": again,
    }


def describe_run(client: MlflowClient, run: Run, event: Event, tags: dict[str, str]) -> None:
    """Tell a stage's run what is known at its start; the error of an earlier attempt goes."""
    log_batch(client, run.info.run_id, params=event["parameters"], tags=tags_of(event) | tags)
    if attempts.ERROR in run.data.tags:
        client.delete_tag(run.info.run_id, attempts.ERROR)


def given_runs(client: MlflowClient, event: Event) -> tuple[Run | None, str | None]:
    """The run that the stage is to resume, and the parent that it is given, if any.

    The contract: a given run is resumed; else a given parent, or that of the pipeline run, gets
    a nested run; else it is a run of its own. A given run that has no parent, in a pipeline run,
    was given to all stages: it is their parent.
    """
    if not event["run_id"]:
        return None, event["parent_run_id"]
    given = client.get_run(event["run_id"])
    parent = given.data.tags.get(PARENT)
    if event["pipeline_run"] and not parent:
        return None, given.info.run_id
    return given, parent


def update_parent(client: MlflowClient, experiment: str, parent: str, event: Event) -> None:
    """Tell a parent its Kubeflow run and its data set, and complete its lineage."""
    link(client, parent, event["kubeflow"])
    say_pipeline(client, parent, event.get("pipeline", FOUR_STEP))
    describe(client, parent, event["data_version"], event["data_path"])
    lineage.complete(client, experiment, parent, event["inputs"])


def experiment_id(client: MlflowClient, event: Event, parent: str | None) -> str:
    """The experiment of the parent, or the given one, or the named one, made if need be."""
    if parent:
        return str(client.get_run(parent).info.experiment_id)
    if given := event["experiment_id"]:
        return str(given)
    name = event["experiment"]
    if found := client.get_experiment_by_name(name):
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(name))
    except MlflowException as error:
        found = client.get_experiment_by_name(name)
        if error.error_code != "RESOURCE_ALREADY_EXISTS" or not found:
            raise
        return str(found.experiment_id)  # another stage was faster


def kept_by_kubeflow(
    client: MlflowClient, event: Event, given: Run | None, parent: str | None
) -> list[str]:
    """The runs that Kubeflow's own MLflow plugin has made: it opens and ends them.

    It makes a run for each task, whose id the task is given, below one that has Kubeflow's tag.
    """
    if given and parent and event["engine"] == "kubeflow":
        return [given.info.run_id, parent]
    if parent and KUBEFLOWS in client.get_run(parent).data.tags:
        return [parent]
    return []


def reopen(client: MlflowClient, run: str, kept: Sequence[str]) -> None:
    """Set a run to running, unless that is somebody else's to do."""
    if run not in kept:
        client.update_run(run, status="RUNNING")


def run_url(run: Run) -> str | None:
    """The run's page on a tracking server; None for a database, which has no pages."""
    base = redact(tracking_uri()).rstrip("/")
    if not base.startswith(("http://", "https://")):
        return None
    workspace = os.environ.get("MLFLOW_WORKSPACE")
    query = f"&workspace={quote(workspace, safe='')}" if workspace else ""
    return f"{base}/{lineage.page(run)}{query}"


def find_or_create(
    client: MlflowClient, experiment: str, mark: dict[str, str], parent: str | None, event: Event
) -> Run:
    """The run with this mark, of an earlier attempt or made by a killed shipper; or a new one."""
    below = {PARENT: parent} if parent else {}
    run = search(client, experiment, mark) or client.create_run(
        experiment, event["time"], mark | below, event["name"]
    )
    delete_twins(client, run, mark)
    return run


def tags_of(event: Event) -> dict[str, str]:
    """The tags that a stage's run has from its start."""
    known = {
        "mlflow.source.name": f"components.{event['stage']}",
        "fourstep.stage": event["stage"],
        NAME: event["name"],
        "fourstep.engine": event["engine"],
        "fourstep.inputs": json.dumps(event["inputs"], sort_keys=True),
        "fourstep.data_version": event["data_version"],
    }
    return {k: v for k, v in (known | event["git"] | event["pod"]).items() if v}


def metrics_of(event: Event) -> Iterator[Metric]:
    """The metrics of one event, as MLflow's entities."""
    for name, value in event["values"].items():
        yield Metric(valid_name(name), value, event["time"], event["step"])


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

    That is the one that the spool keeps; else the one in its place, if the disk was too full to
    keep it.

    Raises:
        ValueError: a later run has overwritten it.
    """
    for path in (Path(event[name]) for name in ("kept", "path") if name in event):
        if path.exists() and path_digest(path) == event["digest"]:
            return path
    raise ValueError(f"{event['path']} has changed since the stage recorded it; not uploaded")


def end(client: MlflowClient, progress: Mapping[str, Any], event: Event) -> None:
    """Close the stage's run, and bring the parent up to date."""
    run, parent, status = progress["run_id"], progress["parent_id"], event["status"]
    tags = {"fourstep.outputs": json.dumps(event.get("outputs", {}), sort_keys=True)}
    if event.get("data_version"):
        tags["fourstep.data_version"] = event["data_version"]
    log_batch(client, run, tags=tags)
    delete_twins(client, client.get_run(run), progress["mark"])  # a late one, too
    kept = progress["kept"]
    if run not in kept:
        client.set_terminated(run, status, event["time"])
    if parent:
        describe(client, parent, event.get("data_version"), progress["data_path"])
        ended = client.get_run(run)
        mirror(client, ended, parent, event["time"])
        if parent not in kept:
            end_parent(client, ended.info.experiment_id, parent, event["time"])
