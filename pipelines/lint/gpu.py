"""Rules `gpu-...`: what a task with an accelerator should be given."""

from collections.abc import Iterator
from typing import Any

from pipelines.lint.finding import Finding
from pipelines.lint.pipeline import Pipeline, Task, accelerator
from pipelines.lint.retries import retry_policies, too_short_window

SHM = "/dev/shm"


def gpu(pipeline: Pipeline) -> Iterator[Finding]:
    """Shared memory, time limit, retries and toleration of each task that asks for a GPU."""
    policies = retry_policies(pipeline)
    for task in pipeline.tasks():
        label = pipeline.label(task)
        executor = pipeline.executors.get(label)
        asked = accelerator(executor) if executor is not None else ""
        if not asked:
            continue
        config = pipeline.kubernetes.get(label)
        yield from _shared_memory(task, config, asked)
        if not (config and config.active_deadline_seconds) and not (
            pipeline.config.active_deadline_seconds
        ):
            yield _warning(
                "gpu-timeout",
                task,
                f"asks for {asked} and has no time limit: if it hangs it holds them for ever; "
                "kubernetes.set_timeout",
            )
        yield from _retried(pipeline, task, policies[task.where], asked)
        if not (config and config.tolerations):
            yield _warning(
                "gpu-toleration",
                task,
                f"asks for {asked} and tolerates no taint: on a cluster that taints its GPU nodes "
                "it waits for ever; kubernetes.add_toleration",
            )


def _retried(pipeline: Pipeline, task: Task, policy: Any, asked: str) -> Iterator[Finding]:
    if policy.max_retry_count < 1:
        yield _warning(
            "gpu-retry",
            task,
            f"asks for {asked} and is not retried: a passing error ends the run; task.set_retry "
            "with a backoff_duration, and a backoff_max_duration that holds all attempts",
        )
    elif fault := too_short_window(pipeline, task, policy):
        yield _warning("gpu-retry", task, fault)


def _shared_memory(task: Task, config: Any, asked: str) -> Iterator[Finding]:
    mounts = config.empty_dir_mounts if config else []
    shm = [mount for mount in mounts if mount.mount_path.rstrip("/") == SHM]
    if any(mount.medium == "Memory" for mount in shm):
        return
    if config and config.HasField("enabled_shared_memory"):
        return
    found = (
        f"its emptyDir at {SHM} lies on the node's disk"
        if shm
        else f"has 64 MB at {SHM}, in which PyTorch's data loader workers die with a bus error"
    )
    yield _warning(
        "gpu-shm",
        task,
        f"asks for {asked}; {found}; kubernetes.empty_dir_mount at {SHM} with medium='Memory'",
    )


def _warning(rule: str, task: Task, message: str) -> Finding:
    return Finding("warning", rule, task.where, message)
