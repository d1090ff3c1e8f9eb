"""Reused stages: a stage that the engine's cache skips makes no run, yet belongs to the parent.

Every run records the digests of its inputs and outputs. When a stage starts, the runs that made
its inputs, and theirs, are looked up by digest; those that are not under this parent are
copied to it, marked as reused, with a link. So every parent is complete, and two of them can be
compared.
"""

import json
from collections.abc import Mapping
from datetime import datetime

from mlflow import MlflowClient
from mlflow.entities import Metric, Run

from components.tracking.parent import mirror
from components.tracking.runs import PARENT, REUSED, delete_twins, keep_oldest, log_batch

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
    """A run under the parent that stands for another one, with its parameters and metrics."""
    info, data = original.info, original.data
    when = datetime.fromtimestamp(info.start_time / 1000).strftime("%Y-%m-%d %H:%M")
    tags = {name: data.tags[name] for name in COPIED if name in data.tags} | {
        PARENT: parent,
        "mlflow.note.content": f"Reused: nothing that this stage depends on has changed. "
        f"Made by [{info.run_name} of {when}]({page(original)}).",
        "fourstep.reused": "true",
        REUSED: info.run_id,
    }
    run = client.create_run(info.experiment_id, tags=tags, run_name=info.run_name)
    # Another stage of the pipeline run may bring the same one at this moment.
    mark = {name: tags[name] for name in (PARENT, REUSED)}
    run = keep_oldest(client, run, mark)
    delete_twins(client, run, mark)
    metrics = [Metric(k, v, info.end_time, 0) for k, v in data.metrics.items()]
    log_batch(client, run.info.run_id, metrics=metrics, params=data.params)
    mirror(client, original, parent, info.run_name)
    client.set_terminated(run.info.run_id, "FINISHED")
