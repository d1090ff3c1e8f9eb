"""Run the compiled pipeline in containers on this machine, without a cluster.

kfp's local runner starts each task's container; the platform document (volumes, GPUs, secrets)
means nothing to it. Nor is its word for a success enough (`exit_status`): outputs are counted.
"""

import json
import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Literal

from docker.errors import DockerException
from docker.types import Mount
from kfp import components, local

from components.errors import CheckFailed, InputError
from components.kubeflow import SCRATCH
from pipelines.document import read_documents
from pipelines.exit_status import true_exit_status
from pipelines.profile import GPU, Data, Profile, Retries

USER = 1000
CACHE = ".kfp_cache"


@dataclass(frozen=True)
class TaskRun:
    """What became of a task; outputs by name, of those that ran here."""

    task: str
    state: Literal["ran", "cached"]
    outputs: Mapping[str, Path]


def run_in_containers(package: Path, root: Path) -> list[TaskRun]:
    """Run all tasks, each in a container without network, capabilities or a writable root.

    Args:
        package: compiled pipeline; its data are a folder of this machine (``data.uri``).
        root: folder for outputs and cache; an unchanged task is taken from the cache.

    Returns:
        The tasks in order.

    Raises:
        CheckFailed: a task failed, or an output of a task is missing.
        InputError: there is no container engine, or it lacks an image.
    """
    root = root.absolute()
    root.mkdir(parents=True, exist_ok=True)
    user = own_user(root)
    before = set(root.iterdir())
    spec = read_documents(package).spec
    runner = local.DockerRunner(**hardened(user), mounts=data_mounts(spec))
    local.init(runner, pipeline_root=str(root), enable_caching=True)
    try:
        with cache_hits() as hits, true_exit_status():
            run_with_kfp(package)
        made = [path for path in root.iterdir() if path not in before and path.name[0] != "."]
        return [
            TaskRun(task, "cached", {}) if task in hits else written(task, outputs, made)
            for task, outputs in task_outputs(spec).items()
        ]
    except BaseException:  # Ctrl-C, too
        forget_empty(root / CACHE)
        raise


def run_with_kfp(package: Path) -> None:
    """Let kfp run the pipeline.

    Raises:
        CheckFailed: a task failed.
        InputError: there is no container engine, or it lacks an image.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that requests for CPU and memory have no effect here
        try:
            components.load_component_from_file(str(package))()
        except DockerException as error:
            raise InputError(
                f"the container engine cannot do it: {error}; does it run (DOCKER_HOST)? "
                "Has it the images (`make images`)?"
            ) from None
        except RuntimeError as error:
            raise CheckFailed(str(error)) from None
        except ValueError:  # a task has succeeded, yet lacks an output: `written` tells which
            pass


@contextmanager
def cache_hits() -> Iterator[set[str]]:
    """The tasks that kfp takes from its cache, read from its log: it tells it nowhere else."""
    found: set[str] = set()

    class Hits(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if hit := re.match(r"Task (\S+) cache hit", record.getMessage()):
                found.add(hit[1])

    logger, handler = logging.getLogger(), Hits()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield found
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def written(task: str, outputs: list[str], folders: list[Path]) -> TaskRun:
    """What a task has written into the run's folder.

    Raises:
        CheckFailed: not all of its outputs, whatever the runner says.
    """
    found = {name: folder / task / name for folder in folders for name in outputs}
    missing = [name for name in outputs if not (name in found and found[name].exists())]
    if missing:
        raise CheckFailed(f"{task}: has not written {', '.join(missing)}; its log is above")
    return TaskRun(task, "ran", found)


def forget_empty(cache: Path) -> None:
    """Remove what the cache holds of tasks that wrote nothing."""
    for entry in cache.glob("*.json"):
        if not json.loads(entry.read_text()):
            entry.unlink()


def task_outputs(spec: Mapping[str, Any]) -> dict[str, list[str]]:
    """The names of the artifacts that each container task writes, upstream tasks first."""
    tasks = spec["root"]["dag"]["tasks"]
    upstream = {name: task.get("dependentTasks", []) for name, task in sorted(tasks.items())}
    found = {}
    for name in TopologicalSorter(upstream).static_order():
        task = tasks[name]
        component = spec["components"][task["componentRef"]["name"]]
        executor = spec["deploymentSpec"]["executors"][component["executorLabel"]]
        if "container" in executor:
            declared = component.get("outputDefinitions", {}).get("artifacts", {})
            found[name] = list(declared)
    return found


def local_profile(data: Path) -> Profile:
    """A profile for `run_in_containers`: a folder of this machine, and nothing is tried twice."""
    folder = Data.model_construct(uri=str(data.resolve()))  # an address that no cluster has
    return Profile(data=folder, retries=Retries(count=0), gpu=GPU(count=0))


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
