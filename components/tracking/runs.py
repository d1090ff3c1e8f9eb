"""Finding runs in MLflow, and telling them metrics, parameters and tags."""

import logging
import re
from collections.abc import Mapping, Sequence

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag

LOG = logging.getLogger(__name__)

PARENT = "mlflow.parentRunId"
REUSED = "fourstep.reused_run_id"
KEY_LENGTH, PARAM_LENGTH, TAG_LENGTH = 250, 6000, 8000
METRICS, PARAMS, TAGS = 1000, 100, 100
"""MLflow's limits for one ``log_batch``."""


def search(client: MlflowClient, experiment: str, tags: Mapping[str, str]) -> Run | None:
    """The oldest run with these tags; of several as old, always the same."""
    clauses = [f"tags.\"{k}\" = '{v.replace(chr(39), '')}'" for k, v in tags.items()]
    order = ["attributes.start_time", "attributes.run_id"]
    found = client.search_runs([experiment], " and ".join(clauses), max_results=1, order_by=order)
    return found[0] if found else None


def only(client: MlflowClient, run: Run, tags: Mapping[str, str]) -> Run:
    """The oldest run with these tags; if it is not this new one, this one is deleted."""
    oldest = search(client, run.info.experiment_id, tags) or run
    if oldest.info.run_id != run.info.run_id:
        client.delete_run(run.info.run_id)
    return oldest


def nested(client: MlflowClient, experiment: str, parent: str) -> list[Run]:
    """The runs below a parent, oldest first."""
    clause = f"tags.\"{PARENT}\" = '{parent}'"
    return list(client.search_runs([experiment], clause, order_by=["attributes.start_time"]))


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
    """Send metrics, parameters and tags in as few calls as MLflow allows.

    A parameter that the run has already stays, for MLflow would refuse another value.
    """
    entries = [Param(clean(k), v[:PARAM_LENGTH]) for k, v in (params or {}).items()]
    if entries:
        known = client.get_run(run).data.params
        for entry in entries:
            if known.get(entry.key, entry.value) != entry.value:
                LOG.warning("run %s keeps %s=%s", run, entry.key, known[entry.key])
        entries = [entry for entry in entries if entry.key not in known]
    words = [RunTag(k[:KEY_LENGTH], v[:TAG_LENGTH]) for k, v in (tags or {}).items()]
    for at in range(0, len(metrics), METRICS):
        client.log_batch(run, metrics=metrics[at : at + METRICS])
    for at in range(0, len(entries), PARAMS):
        client.log_batch(run, params=entries[at : at + PARAMS])
    for at in range(0, len(words), TAGS):
        client.log_batch(run, tags=words[at : at + TAGS])
