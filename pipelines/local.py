"""Run the compiled pipeline in containers on this machine, without a cluster.

kfp's local runner starts each task's container; the platform document (volumes, GPUs, secrets)
means nothing to it. It may report success for a container that failed (kubeflow/pipelines
#13332), so success is counted here from the outputs.
"""

import logging
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from docker.types import Mount
from kfp import components, local

from components.errors import CheckFailed
from pipelines.placement import SCRATCH
from pipelines.profile import GPU, Data, Profile, Retries
from pipelines.spec import read_spec, task_outputs

USER = 1000


@dataclass(frozen=True)
class TaskRun:
    """What became of a task; outputs by name, of those that ran here."""

    task: str
    state: Literal["ran", "cached"]
    outputs: Mapping[str, Path]


def run_in_containers(
    package: Path, root: Path, *, arguments: Mapping[str, Any] | None = None, **options: Any
) -> list[TaskRun]:
    """Run all tasks, each in a container without network, capabilities or a writable root.

    Args:
        package: compiled pipeline; its data are a folder of this machine (``data.uri``).
        root: folder for outputs and cache; an unchanged task is taken from the cache.
        arguments: inputs of the pipeline in place of its defaults.
        options: further options of kfp's DockerRunner, such as ``mem_limit``.

    Returns:
        The tasks in order.

    Raises:
        CheckFailed: a task failed, or an output of a task is missing.
    """
    logging.getLogger("kfp").setLevel(logging.WARNING)
    root = root.absolute()
    root.mkdir(parents=True, exist_ok=True)
    user = own_user(root)
    before = set(root.iterdir())
    spec = read_spec(package)
    runner = local.DockerRunner(**hardened(user) | {"mounts": data_mounts(spec)} | options)
    local.init(runner, pipeline_root=str(root), enable_caching=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that requests for CPU and memory have no effect here
        pipeline = components.load_component_from_file(str(package))
        try:
            pipeline(**(arguments or {}))
        except RuntimeError as error:
            raise CheckFailed(str(error)) from None
    made = [path for path in root.iterdir() if path not in before and path.name[0] != "."]
    folder = made[0] if made else None
    return [task_run(task, outputs, folder) for task, outputs in task_outputs(spec).items()]


def local_profile(data: Path) -> Profile:
    """A profile for `run_in_containers`: a folder of this machine, and nothing is tried twice."""
    return Profile(data=Data(uri=str(data.resolve())), retries=Retries(count=0), gpu=GPU(count=0))


def task_run(task: str, outputs: list[str], folder: Path | None) -> TaskRun:
    """What became of a task, by the files in the run's folder.

    Raises:
        CheckFailed: the task ran and has not written an output, whatever the runner says.
    """
    if folder is None or not (folder / task).exists():
        return TaskRun(task, "cached", {})
    found = {name: folder / task / name for name in outputs}
    missing = [name for name, path in found.items() if not path.exists()]
    if missing:
        raise CheckFailed(f"{task}: has not written {', '.join(missing)} ({folder / task})")
    return TaskRun(task, "ran", found)


def hardened(user: int) -> dict[str, Any]:
    """Docker's options for a container that can do nothing but compute."""
    return {
        "user": f"{user}:{user}",
        "network_mode": "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "pids_limit": 1024,
        "shm_size": "1g",
        "tmpfs": {"/tmp": "mode=1777", SCRATCH: "mode=1777"},
        "environment": {"FOURSTEP_TRACKING": "off"},
    }


def own_user(root: Path) -> int:
    """The user to run as: the one at work here, or 1000 for root, who gives away the folder."""
    if os.getuid():
        return os.getuid()
    os.chown(root, USER, USER)
    return USER


def data_mounts(spec: Any) -> list[Mount]:
    """The folders that the pipeline imports, mounted read-only where they are."""
    executors = spec["deploymentSpec"]["executors"].values()
    uris = [e["importer"]["artifactUri"]["constant"] for e in executors if "importer" in e]
    return [Mount(uri, uri, type="bind", read_only=True) for uri in uris]
