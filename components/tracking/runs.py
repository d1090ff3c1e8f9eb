"""Finding runs in MLflow, and telling them metrics, parameters and tags."""

import logging
import re
from collections.abc import Mapping, Sequence

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from components.tracking.spool import METRICS_PER_BATCH

LOG = logging.getLogger(__name__)

PARENT = "mlflow.parentRunId"
REUSED = "fourstep.reused_run_id"
KUBEFLOWS = "kfp.pipeline_run_id"
"""A tag of the parents that Kubeflow's MLflow plugin makes."""
NAME = "fourstep.name"
"""The stage's name, for Kubeflow's MLflow plugin calls the runs that it makes by other ones."""
KEY_LENGTH, PARAM_LENGTH, TAG_LENGTH = 250, 6000, 8000
PARAMS_PER_BATCH, TAGS_PER_BATCH = 100, 100
"""MLflow's limits for one ``log_batch``, beside `METRICS_PER_BATCH`."""


def search(client: MlflowClient, experiment: str, tags: Mapping[str, str]) -> Run | None:
    """The oldest run with these tags; of several as old, always the same."""
    found = search_all(client, experiment, tags, most=1)
    return found[0] if found else None


def search_all(
    client: MlflowClient, experiment: str, tags: Mapping[str, str], most: int = 100
) -> list[Run]:
    """The runs with these tags, oldest first."""
    clauses = [f"tags.\"{k}\" = '{v.replace(chr(39), '')}'" for k, v in tags.items()]
    order = ["attributes.start_time", "attributes.run_id"]
    return list(
        client.search_runs([experiment], " and ".join(clauses), max_results=most, order_by=order)
    )


def delete_twins(client: MlflowClient, run: Run, tags: Mapping[str, str]) -> None:
    """Delete the other runs with these tags that began in the same millisecond.

    If the answer to the request that makes a run is lost, the request is sent again, and there
    are two of it.
    """
    for other in search_all(client, run.info.experiment_id, tags):
        same = other.info.start_time == run.info.start_time
        if same and other.info.run_id != run.info.run_id:
            client.delete_run(other.info.run_id)


def keep_oldest(client: MlflowClient, run: Run, tags: Mapping[str, str]) -> Run:
    """The oldest run with these tags; if it is not this new one, this one is deleted."""
    oldest = search(client, run.info.experiment_id, tags) or run
    if oldest.info.run_id != run.info.run_id:
        client.delete_run(run.info.run_id)
    return oldest


def nested(client: MlflowClient, experiment: str, parent: str) -> list[Run]:
    """The runs below a parent, oldest first."""
    clause = f"tags.\"{PARENT}\" = '{parent}'"
    return list(client.search_runs([experiment], clause, order_by=["attributes.start_time"]))


def name_of(run: Run) -> str:
    """The name of the stage that a run is of."""
    return str(run.data.tags.get(NAME, run.info.run_name))


def valid_name(name: str) -> str:
    """A metric's or parameter's name as MLflow takes it: no ``@`` (of a DVC stage), say."""
    return re.sub(r"[^\w. :/-]", "_", name.replace("@", "."))[:KEY_LENGTH]


def log_batch(
    client: MlflowClient,
    run: str,
    *,
    metrics: Sequence[Metric] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Send metrics, parameters and tags in as few calls as MLflow allows.

    A parameter that the run has already stays, for MLflow would refuse another value.
    """
    entries = [Param(valid_name(k), v[:PARAM_LENGTH]) for k, v in (params or {}).items()]
    words = [RunTag(k[:KEY_LENGTH], v[:TAG_LENGTH]) for k, v in (tags or {}).items()]
    for at in range(0, len(metrics), METRICS_PER_BATCH):
        client.log_batch(run, metrics=metrics[at : at + METRICS_PER_BATCH])
    if entries:
        log_params(client, run, entries)
    for at in range(0, len(words), TAGS_PER_BATCH):
        client.log_batch(run, tags=words[at : at + TAGS_PER_BATCH])


def log_news(client: MlflowClient, run: str, values: Mapping[str, float], when: int) -> None:
    """Send the numbers that the run does not have already, at step 0.

    Args:
        client: of the tracking server.
        run: the run's id.
        values: the metrics by name.
        when: their time, in milliseconds; of two values the later one counts.
    """
    known = client.get_run(run).data.metrics
    named = {valid_name(name): value for name, value in values.items()}
    news = [Metric(k, v, when, 0) for k, v in named.items() if known.get(k) != v]
    log_batch(client, run, metrics=news)


def log_params(
    client: MlflowClient, run: str, entries: Sequence[Param], again: bool = True
) -> None:
    """Send the parameters that the run has not; once more if another stage sent one meanwhile."""
    known = client.get_run(run).data.params
    for entry in entries:
        if known.get(entry.key, entry.value) != entry.value:
            LOG.warning("run %s keeps %s=%s", run, entry.key, known[entry.key])
    missing = [entry for entry in entries if entry.key not in known]
    try:
        for at in range(0, len(missing), PARAMS_PER_BATCH):
            client.log_batch(run, params=missing[at : at + PARAMS_PER_BATCH])
    except MlflowException:
        if not again:
            raise
        log_params(client, run, entries, again=False)
