"""The user's tasks among what Kubeflow Pipelines reports of a run.

The server reports every node of the Argo workflow: the workflow itself, ``root``, for each task a
``NAME-driver``, ``NAME`` and ``executor``, and the groups of retries and loops. Up to 2.17 it
leaves out the fields error, pod_name and parent_task_id (kubeflow/pipelines #14007), so they are
used where they are there, and nothing depends on them.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

CACHED = "CACHED"
UNKNOWN = (None, "", "RUNTIME_STATE_UNSPECIFIED")
_DRIVER = re.compile(r"(.+)-driver(\(\d+\))?")


@dataclass(frozen=True)
class Task:
    """A task of the pipeline as a person knows it."""

    key: str
    name: str
    state: str
    started: datetime | None
    ended: datetime | None
    error: str
    pod: str | None


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
    details = (run.run_details.task_details if run.run_details else None) or []
    shown = [d for d in details if d.state not in UNKNOWN and d.display_name in names]
    shown += [d for d in details if d.state == "FAILED" and _task_of_driver(d, names)]
    count = Counter(_name(d, names) for d in shown)
    tasks = [_task(d, names, details, unique=count[_name(d, names)] == 1) for d in shown]
    return sorted(tasks, key=lambda t: t.ended or t.started or datetime.max.replace(tzinfo=UTC))


def _task(detail: Any, names: frozenset[str], details: list[Any], *, unique: bool) -> Task:
    name = _name(detail, names)
    inner = _children(detail, details)
    state = detail.state
    if state == "SUCCEEDED" and inner and all(d.state == "SKIPPED" for d in inner):
        state = CACHED
    sources = [detail, *(d for d in inner if d.state == "FAILED")]
    error = next((text for d in sources if (text := _error(d))), "")
    if not error and _task_of_driver(detail, names):
        error = "its driver failed, before the container was started"
    return Task(
        key=name if unique else f"{name}:{detail.task_id}",
        name=name,
        state=state,
        started=_time(detail.start_time),
        ended=_time(detail.end_time),
        error=error,
        pod=next((d.pod_name for d in reversed(sources) if d.pod_name), None),
    )


def _task_of_driver(detail: Any, names: frozenset[str]) -> str | None:
    """The task whose driver this is: a pod that finds the inputs and asks the cache."""
    driver = _DRIVER.fullmatch(detail.display_name or "")
    if driver is None or f"{driver[1]}-driver" in names:
        return None
    return driver[1] if driver[1] in names else None


def _name(detail: Any, names: frozenset[str]) -> str:
    return _task_of_driver(detail, names) or detail.display_name


def _children(detail: Any, details: list[Any]) -> list[Any]:
    named = {c.task_id or c.pod_name for c in detail.child_tasks or []}
    return [
        d
        for d in details
        if d is not detail
        and (
            (d.parent_task_id and d.parent_task_id == detail.task_id)
            or d.task_id in named
            or (d.pod_name and d.pod_name in named)
        )
    ]


def _error(detail: Any) -> str:
    states = reversed(detail.state_history or [])
    errors = [detail.error, *(s.error for s in states)]
    return next((e.message for e in errors if e and e.message), "")


def _time(value: datetime | None) -> datetime | None:
    """The server writes the year 1 or 1970 for a time that has not come."""
    return value if value and value.year > 1970 else None
