"""The user's tasks among what Kubeflow Pipelines reports of a run.

The server reports every node of the Argo workflow: the workflow itself, ``root``, for each task a
``NAME-driver``, ``NAME`` and ``executor``, and for each of these that has a retry strategy its
attempts, ``NAME(0)``. `pipelines.submit.nodes` says how they are joined. Entries without a name are
the cache's. The server up to 2.17 leaves out the fields error, pod_name and parent_task_id
(kubeflow/pipelines #14007); an error is used where it is there, and nothing depends on it.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipelines.submit.nodes import container_nodes

CACHED, CANCELED, FAILED, SUCCEEDED = "CACHED", "CANCELED", "FAILED", "SUCCEEDED"
ENDED = (SUCCEEDED, FAILED, CANCELED, "SKIPPED")
"""The states of a run and of its tasks in which nothing more happens."""
UNKNOWN = (None, "", "RUNTIME_STATE_UNSPECIFIED")
"""Among others the state of a task that Argo leaves out, because one before it has failed."""
_DRIVER = re.compile(r"(.+)-driver")


@dataclass(frozen=True)
class Task:
    """A task of the pipeline as a person knows it."""

    key: str
    name: str
    state: str
    started: datetime | None
    ended: datetime | None
    error: str
    """What the server says of a failure; most often nothing."""
    pods: tuple[str, ...] = ()
    """The ids of the Argo nodes whose pods have run a failed task, one for each attempt."""


def task_names(spec: Any) -> frozenset[str]:
    """The names of the tasks that run a container, of all DAGs of a pipeline spec.

    Empty if it is no pipeline spec.
    """
    if not isinstance(spec, Mapping):
        return frozenset()
    spec = spec.get("pipeline_spec", spec)
    components = spec.get("components", {})
    dags = [spec.get("root", {}), *components.values()]
    return frozenset(
        name
        for dag in dags
        for name, task in dag.get("dag", {}).get("tasks", {}).items()
        if "dag" not in components.get(task.get("componentRef", {}).get("name"), {})
    )


def read_tasks(run: Any, names: frozenset[str]) -> list[Task]:
    """The tasks that have begun, by the time at which they did.

    Args:
        run: a V2beta1Run.
        names: of the tasks, as `task_names` gives them.
    """
    details = list_of_tasks(run)
    shown = [d for d in details if d.state not in UNKNOWN and d.display_name in names]
    shown += [d for d in details if d.state == FAILED and _task_of_driver(d, names)]
    count = Counter(_name(d, names) for d in shown)
    tasks = [_task(d, names, details, unique=count[_name(d, names)] == 1) for d in shown]
    return sorted(tasks, key=lambda t: t.ended or t.started or datetime.max.replace(tzinfo=UTC))


def list_of_tasks(run: Any) -> list[Any]:
    """All entries of the server's list."""
    return (run.run_details.task_details if run.run_details else None) or []


def list_lags(run: Any) -> bool:
    """Whether the list of a run that has ended is of an earlier time.

    The server writes the run's state first. And if the workflow's status outgrows Argo's 1 MiB,
    Argo compresses it, the server finds no nodes in it, and its list never changes again.
    """
    states = [detail.state for detail in list_of_tasks(run) if detail.display_name]
    return not states or any(state not in (*ENDED, *UNKNOWN) for state in states)


def _task(detail: Any, names: frozenset[str], details: list[Any], *, unique: bool) -> Task:
    name = _name(detail, names)
    failed = detail.state == FAILED
    error = _error(detail)
    if failed and not error and _task_of_driver(detail, names):
        error = "its driver failed, before the container was started"
    return Task(
        key=name if unique else f"{name}:{detail.task_id}",
        name=name,
        state=CACHED if _is_cached(detail, details) else detail.state,
        started=_time(detail.start_time),
        ended=_time(detail.end_time),
        error=error,
        pods=tuple(node.id for node in container_nodes(detail, details)) if failed else (),
    )


def _is_cached(task: Any, details: list[Any]) -> bool:
    """Whether the task's executor was skipped, as its outputs were in the cache.

    Nothing names a skipped executor's task. But both begin and end in the same moment, and a task
    whose container ran takes some seconds.
    """
    return task.state == SUCCEEDED and any(
        d.display_name == "executor"
        and d.state == "SKIPPED"
        and _near(d.start_time, task.start_time)
        and _near(d.end_time, task.end_time)
        for d in details
    )


def _near(one: datetime | None, other: datetime | None) -> bool:
    if one is None or other is None:
        return False
    return abs((one - other).total_seconds()) <= 1  # they are in whole seconds


def _task_of_driver(detail: Any, names: frozenset[str]) -> str | None:
    """The task whose driver this is: a pod that finds the inputs and asks the cache.

    Attempts of a driver, ``NAME-driver(0)``, do not count as drivers here: another may follow.
    """
    driver = _DRIVER.fullmatch(detail.display_name or "")
    if driver is None or detail.display_name in names:
        return None
    return driver[1] if driver[1] in names else None


def _name(detail: Any, names: frozenset[str]) -> str:
    return _task_of_driver(detail, names) or detail.display_name


def _error(detail: Any) -> str:
    states = reversed(detail.state_history or [])
    errors = [detail.error, *(s.error for s in states)]
    return next((e.message for e in errors if e and e.message), "")


def _time(value: datetime | None) -> datetime | None:
    """The server writes the year 1 or 1970 for a time that has not come."""
    return value if value and value.year > 1970 else None
