"""Rule `retry`: what Argo makes of a task's retries.

Kubeflow hands a task's retry policy to Argo. kfp's ``backoff_max_duration`` becomes Argo's
``maxDuration``: not a cap of the pause, but a window that begins with the first attempt.
After it no attempt begins (Argo: workflow/controller/operator.go, processNodeRetries), and one that
runs is ended (workflowpod.go, getDeadline; executor.go, monitorDeadline).
"""

from collections.abc import Iterator
from typing import Any

from pipelines.lint.finding import Finding
from pipelines.lint.images import BUILT_IN
from pipelines.lint.pipeline import Pipeline, Task, accelerator

HOUR = 3600
"""kfp's default window in seconds."""
LARGEST_FACTOR = 2**31 - 1
WEEK = 7 * 24 * HOUR
YEAR = 365 * 24 * HOUR
MOST_RETRIES = 100
"""More retries than these are not looked at."""


def retries(pipeline: Pipeline) -> Iterator[Finding]:
    """Retries that Argo cannot read, on any task; retries that come too late, without a GPU."""
    policies = retry_policies(pipeline)
    for task in _container_tasks(pipeline):
        policy = policies[task.where]
        if fault := _unreadable_factor(policy):
            yield Finding("error", "retry", task.where, fault)
        if not _gpu(pipeline, task) and (fault := too_short_window(pipeline, task, policy)):
            yield Finding("warning", "retry", task.where, fault)


def retry_policies(pipeline: Pipeline) -> dict[str, Any]:
    """The retry policy of each task by its place: its own, else that of the DAG that holds it.

    As the server does it (kubeflow/pipelines, backend/src/v2/compiler/visitor.go): from the root
    down, each component once. Components that the root does not reach keep their tasks' own.
    """
    policies = {task.where: task.spec.retry_policy for task in pipeline.tasks()}
    waiting, visited = ["root"], {"root"}
    while waiting:
        for task in pipeline.tasks_of(waiting.pop()):
            component = task.spec.component_ref.name
            if component not in pipeline.components or component in visited:
                continue
            visited.add(component)
            waiting.append(component)
            for inner in pipeline.tasks_of(component):
                if not inner.spec.HasField("retry_policy"):
                    policies[inner.where] = policies[task.where]
    return policies


def too_short_window(pipeline: Pipeline, task: Task, policy: Any) -> str:
    """What is wrong with the window in which a task is retried; "" if nothing is.

    The window is long enough if every retry can run to its end in it, though all attempts use up
    their time limit. A task without a time limit may take any time; with a GPU it is taken for
    longer than an hour.
    """
    window = policy.backoff_max_duration.seconds
    if policy.max_retry_count < 1:
        return ""
    limit = _time_limit(pipeline, task)
    ends = _latest_ends(policy, limit or HOUR)
    fitting = sum(end <= window for end in ends)
    if policy.backoff_duration.seconds >= window:
        fault = "is never retried"
    elif limit is None and window <= HOUR and _gpu(pipeline, task):
        fault = f"a failure after the first {window} s is not retried"
    elif limit is None or fitting == len(ends) or window >= _whole(pipeline) > 0:
        return ""
    else:
        fault = (
            f"{fitting} of {len(ends)} retries can run to their end if attempts take their time "
            f"limit of {limit} s"
        )
    return (
        f"{fault}: {window} s after the first attempt's start Argo begins no other and ends the "
        "one that runs (kfp's backoff_max_duration is its maxDuration, not a cap of the pause); "
        f"{_remedy(ends)}"
    )


def _remedy(ends: list[int]) -> str:
    if ends[-1] > YEAR:
        return (
            "ask for fewer retries or a smaller factor: the last would end after more than a year"
        )
    return (
        "give at least (retries + 1) x the time limit + the pauses, such as "
        f"backoff_max_duration='{max(ends[-1], WEEK)}s'; left out it is {HOUR}s"
    )


def _latest_ends(policy: Any, limit: int) -> list[int]:
    """When each retry ends at the latest, in seconds after the first attempt's start.

    Args:
        policy: a RetryPolicy with at least one retry.
        limit: how long an attempt takes at most, in seconds.
    """
    factor = int(policy.backoff_factor) if 0 < policy.backoff_factor <= LARGEST_FACTOR else 1
    pause, now, ends = policy.backoff_duration.seconds, limit, []
    for _ in range(min(policy.max_retry_count, MOST_RETRIES)):
        now += pause + limit
        pause *= factor
        ends.append(now)
    return ends


def _unreadable_factor(policy: Any) -> str:
    factor = policy.backoff_factor
    if float(factor).is_integer() and abs(factor) <= LARGEST_FACTOR:
        return ""
    return (
        f"backoff_factor {factor:g} is not a whole number: Argo cannot read it, so after a failure "
        "the task ends with that error instead of a retry; give a whole number such as 2"
    )


def _time_limit(pipeline: Pipeline, task: Task) -> int | None:
    """How long an attempt of a task may take in seconds; none if nothing limits it.

    The pipeline's time limit counts for a task with a GPU only: others are seldom near it.
    """
    config = pipeline.kubernetes.get(pipeline.label(task))
    own = config.active_deadline_seconds if config else 0
    return own or (_whole(pipeline) if _gpu(pipeline, task) else 0) or None


def _whole(pipeline: Pipeline) -> int:
    """The time limit of a whole run in seconds; 0 if there is none."""
    return int(pipeline.config.active_deadline_seconds)


def _gpu(pipeline: Pipeline, task: Task) -> bool:
    executor = pipeline.executors.get(pipeline.label(task))
    return executor is not None and bool(accelerator(executor))


def _container_tasks(pipeline: Pipeline) -> Iterator[Task]:
    """The tasks that Argo retries: Kubeflow's importers and volumes take no retries."""
    for task in pipeline.tasks():
        executor = pipeline.executors.get(pipeline.label(task))
        if executor is None or executor.WhichOneof("spec") != "container":
            continue
        if executor.container.image not in BUILT_IN:
            yield task
