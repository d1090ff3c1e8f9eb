"""The parent: the run of a whole pipeline run, above those of its stages."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, Run

from components.tracking.pipeline_run import FOUR_STEP
from components.tracking.runs import (
    delete_twins,
    keep_oldest,
    log_batch,
    log_news,
    name_of,
    nested,
    search,
)
from components.tracking.spool import Event

DATASET_DIGEST_LENGTH = 36
HEADLINE = ("AP", "AP50", "AP75", "AP50_11_point")
"""The figures of evaluate's shared network that a parent has under their own names, too: MLflow's
table of runs and its page of runs side by side show them at once."""
SETTLE_S = 2.0
"""How long a new parent waits for others: longer than another stage needs from its search for a
parent to having made one."""


def find_parent(client: MlflowClient, experiment: str, event: Event) -> str | None:
    """The run of the whole pipeline run, made by its first stage; None without a pipeline run.

    On Kubeflow, two first stages may each make a parent. A new parent therefore waits SETTLE_S,
    then the oldest one wins and the other is deleted. One without Kubeflow's tags (see `link`)
    is still new: a stage that finds it waits, too.
    """
    key = event["pipeline_run"]
    if not key:
        return None
    mark = {"fourstep.pipeline_run": key}
    maker = {"fourstep.made_by": event["name"]}
    found = search(client, experiment, mark)
    if found and found.info.start_time == event["time"]:  # made by an earlier try of this stage
        delete_twins(client, found, mark | maker)
    if found and event["kubeflow"].keys() <= found.data.tags.keys():
        return str(found.info.run_id)
    what = {
        "fourstep.engine": event["engine"],
        "fourstep.pipeline": event.get("pipeline", FOUR_STEP),
    }
    tags = mark | maker | what | event["git"]
    run = found or client.create_run(experiment, event["time"], tags, parent_name(tags))
    if not found:
        delete_twins(client, run, mark | maker)
    if event["engine"] != "kubeflow":
        return str(run.info.run_id)
    time.sleep(SETTLE_S)
    if found:
        run = search(client, experiment, mark) or found
        return str(run.info.run_id)
    return str(keep_oldest(client, run, mark).info.run_id)


def parent_name(tags: Mapping[str, str]) -> str:
    """``<pipeline> <data version> <commit>``, as far as they are known."""
    data = tags.get("fourstep.data_version", "")[:8]
    commit = tags.get("mlflow.source.git.commit", "")[:7]
    return " ".join(filter(None, [tags.get("fourstep.pipeline", FOUR_STEP), data, commit]))


def link(client: MlflowClient, parent: str, tags: Mapping[str, str]) -> None:
    """Tell a parent its Kubeflow run; what it says of itself already stays."""
    if tags:
        known = client.get_run(parent).data.tags
        log_batch(client, parent, tags={k: v for k, v in tags.items() if k not in known})


def describe(client: MlflowClient, parent: str, version: str | None, path: str | None) -> None:
    """Tell a parent its data set, as soon as a stage knows the version and the folder."""
    run = client.get_run(parent)
    if version:
        retell(client, run, "fourstep.data_version", version)
    recorded = run.inputs.dataset_inputs if run.inputs else []
    if version and path and not recorded:
        source = json.dumps({"uri": path})
        data = Dataset(Path(path).name, version[:DATASET_DIGEST_LENGTH], "local", source)
        client.log_inputs(parent, [DatasetInput(data)])


def say_pipeline(client: MlflowClient, parent: str, pipeline: str) -> None:
    """Tell a parent its pipeline: the stages that joint training shares with the four steps do not.

    They come first, and are theirs.
    """
    if pipeline != FOUR_STEP:
        retell(client, client.get_run(parent), "fourstep.pipeline", pipeline)


def retell(client: MlflowClient, parent: Run, tag: str, value: str) -> None:
    """Set a parent's tag; the name of one of our own making says it, too."""
    tags = parent.data.tags
    if tags.get(tag) == value:
        return
    client.set_tag(parent.info.run_id, tag, value)
    if "fourstep.pipeline_run" in tags:
        client.update_run(parent.info.run_id, name=parent_name(tags | {tag: value}))


def mirror(client: MlflowClient, run: Run, parent: str, when: int) -> None:
    """Put a stage's parameters and last metrics on the parent, as ``<stage>.<name>``.

    MLflow's page of two runs side by side shows only what the two runs have themselves.

    Args:
        client: of the tracking server.
        run: the stage's run.
        parent: the id of the parent's run.
        when: the time of the stage's end, in milliseconds.
    """
    name, metrics = name_of(run), run.data.metrics
    told = headline(name, metrics) | {f"{name}.{k}": v for k, v in metrics.items()}
    log_news(client, parent, told, when)
    log_batch(client, parent, params={f"{name}.{k}": v for k, v in run.data.params.items()})


def headline(name: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """What a whole pipeline run is judged by, if this is the stage that measures it."""
    if name != "evaluate":
        return {}
    return {k: metrics[f"shared.{k}"] for k in HEADLINE if f"shared.{k}" in metrics}


def end_parent(client: MlflowClient, experiment: str, parent: str, when: int) -> None:
    """End a parent when no stage is at work: as failed if the last try of any stage failed."""
    last = {name_of(run): run.info.status for run in nested(client, experiment, parent)}
    statuses = set(last.values())
    if "RUNNING" not in statuses:
        worst = next((s for s in ("FAILED", "KILLED") if s in statuses), "FINISHED")
        client.set_terminated(parent, worst, when)
