"""Reused stages: a stage that the engine's cache skips makes no run, yet belongs to the parent.

Every run records the digests of its inputs and outputs. When a stage starts, the runs that made
its inputs, and theirs, are looked up by digest; those that are not under this parent are
copied to it, marked as reused, with a link. So every parent is complete, and two of them can be
compared.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime

from mlflow import MlflowClient
from mlflow.entities import Run

from components.tracking.parent import mirror
from components.tracking.runs import (
    KUBEFLOWS,
    NAME,
    PARENT,
    REUSED,
    delete_twins,
    keep_oldest,
    log_batch,
    log_news,
    name_of,
    nested,
)

COPIED = ("fourstep.stage", "fourstep.inputs", "fourstep.outputs", "fourstep.data_version")


def complete(client: MlflowClient, experiment: str, parent: str, inputs: Mapping[str, str]) -> None:
    """Bring the runs that made these inputs (name: digest), and theirs, under the parent."""
    for digest in inputs.values():
        if maker(client, experiment, digest, parent):
            continue
        made = maker(client, experiment, digest)
        if made is None:
            continue  # made by no stage: a weights file, or a stage that was not tracked
        original = client.get_run(made.data.tags.get(REUSED, made.info.run_id))
        upstream = json.loads(original.data.tags.get("fourstep.inputs", "{}"))
        complete(client, experiment, parent, upstream)
        copy(client, original, parent)


def maker(
    client: MlflowClient, experiment: str, digest: str, parent: str | None = None
) -> Run | None:
    """The newest finished run with an output of this digest, below the parent if one is given."""
    clauses = [f"tags.\"fourstep.outputs\" LIKE '%{digest}%'", "attributes.status = 'FINISHED'"]
    if parent:
        clauses.append(f"tags.\"{PARENT}\" = '{parent}'")
    found = client.search_runs(
        [experiment],
        " and ".join(clauses),
        max_results=1,
        order_by=["attributes.start_time DESC"],
    )
    return found[0] if found else None


def page(run: Run) -> str:
    """A run's page, relative to the server's address; as of training, not of prompts and traces."""
    place = f"experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    return f"#/{place}?workflowType=machine_learning"


def copy(client: MlflowClient, original: Run, parent: str) -> None:
    """A run under the parent that stands for another one, with its parameters and metrics.

    Nothing if the parent has the stage's own run, which has not ended yet: MLflow was away.
    """
    info, data, name = original.info, original.data, name_of(original)
    when = info.end_time or info.start_time
    below = nested(client, info.experiment_id, parent)
    if any(name_of(run) == name and NAME in run.data.tags and not ended(run) for run in below):
        return
    run = of_the_plugin(client, name, parent, below) or new_copy(client, original, parent)
    log_news(client, run.info.run_id, data.metrics, when)
    log_batch(client, run.info.run_id, params=data.params, tags=copied_tags(original))
    mirror(client, original, parent, when)
    if run.info.status == "RUNNING":
        client.set_terminated(run.info.run_id, "FINISHED")


def ended(run: Run) -> bool:
    """Whether a stage has said what it made."""
    return "fourstep.outputs" in run.data.tags


def of_the_plugin(client: MlflowClient, name: str, parent: str, below: Iterable[Run]) -> Run | None:
    """The run that Kubeflow's MLflow plugin has made for a task from the cache, still empty.

    It is called as the task, which has dashes where a stage's name has underscores.
    """
    if KUBEFLOWS not in client.get_run(parent).data.tags:
        return None
    task = name.replace("_", "-")
    empty = (run for run in below if NAME not in run.data.tags)
    return next((run for run in empty if run.info.run_name in (name, task)), None)


def new_copy(client: MlflowClient, original: Run, parent: str) -> Run:
    """A new run under the parent that stands for another one."""
    mark = {PARENT: parent, REUSED: original.info.run_id}
    name = name_of(original)
    run = client.create_run(original.info.experiment_id, tags=mark, run_name=name)
    # Another stage of the pipeline run may bring the same one at this moment.
    run = keep_oldest(client, run, mark)
    delete_twins(client, run, mark)
    return run


def copied_tags(original: Run) -> dict[str, str]:
    """What a run that stands for another one says of itself."""
    info, tags = original.info, original.data.tags
    when = datetime.fromtimestamp(info.start_time / 1000).strftime("%Y-%m-%d %H:%M")
    return {name: tags[name] for name in COPIED if name in tags} | {
        NAME: name_of(original),
        "mlflow.note.content": f"Reused: nothing that this stage depends on has changed. "
        f"Made by [{info.run_name} of {when}]({page(original)}).",
        "fourstep.reused": "true",
        REUSED: info.run_id,
    }
