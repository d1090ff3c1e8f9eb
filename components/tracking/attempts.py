"""Attempts: a stage that is started again in the same pipeline run goes on in the run it had.

Kubeflow starts a failed task again in a new pod; a stage on Kubeflow starts itself again in its
pod. Each attempt writes a spool of its own. The run's tag `SPOOL` names the newest one, and only
that attempt says how the stage ended. An older attempt whose spool comes late adds the metrics that
are missing, and nothing else.
"""

from collections.abc import Iterable, Iterator

from mlflow import MlflowClient
from mlflow.entities import Metric, Run

from components.digest import value_digest
from components.tracking.spool import Event

SPOOL = "fourstep.spool"
TASK = "fourstep.task"
RESTARTS = "fourstep.restarts"
REASON = "fourstep.restart_reason"
ERROR = "fourstep.error"


def task_of(event: Event) -> str:
    """What all attempts at the same work have in common, from a start event.

    Returns:
        ``<pipeline run>/<stage's name>/<digest>``, of the parameters and inputs: who starts a stage
        by hand with other parameters under the same key gets another run.
    """
    work = value_digest([event["parameters"], event["inputs"]])[:16]
    return f"{event['pipeline_run'] or ''}/{event['name']}/{work}"


def is_late(run: Run, key: str, task: str) -> bool:
    """Whether a later attempt at the same task has the run already.

    Args:
        run: the stage's run.
        key: the name of this attempt's spool, which begins with the time.
        task: of `task_of`.
    """
    tags = run.data.tags
    return tags.get(TASK) == task and tags.get(SPOOL, "") > key


def claim(run: Run, key: str, event: Event) -> dict[str, str]:
    """The tags by which an attempt takes a run, with how often its stage was started again.

    To claim a run twice changes nothing. The parent in the same pod counts the starts there; a new
    pod does not know of them and is one more.
    """
    tags, task = run.data.tags, task_of(event)
    last = tags.get(SPOOL) if tags.get(TASK) == task else None
    mine = {TASK: task, SPOOL: key}
    if last == key and RESTARTS in tags:
        return mine
    restarts = int(event.get("restarts") or 0)
    if last and last != key:
        restarts = max(restarts, 1 + int(tags.get(RESTARTS, 0)))
    if not restarts:
        return mine
    reason = event.get("restart_reason") or tags.get(ERROR) or "unknown"
    return mine | {RESTARTS: str(restarts), REASON: reason}


def unheard(client: MlflowClient, run: str, metrics: Iterable[Metric]) -> Iterator[Metric]:
    """The metrics that an earlier attempt has not told.

    A training that goes on from its resume point tells some steps again. MLflow keeps both values
    of a step and draws both, so the first one stays; on a CPU they are the same bits. A number of
    the whole stage, at step 0, is told again if it has changed: there the last value counts.
    """
    newest = {m.key: m for m in client.get_run(run).data.to_proto().metrics}
    steps: dict[str, set[int]] = {}
    for metric in metrics:
        last = newest.get(metric.key)
        if last is None or metric.step > last.step:
            yield metric
        elif metric.step == last.step:
            if metric.step == 0 and metric.value != last.value:
                yield metric
        else:
            if metric.key not in steps:
                history = client.get_metric_history(run, metric.key)
                steps[metric.key] = {m.step for m in history}
            if metric.step not in steps[metric.key]:
                yield metric
