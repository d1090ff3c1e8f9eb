"""The compiled pipeline as plain data."""

from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

from components.errors import InputError


def read_spec(package: Path) -> dict[str, Any]:
    """The first document of a compiled pipeline, the pipelineSpec.

    Raises:
        InputError: it cannot be read as such.
    """
    try:
        spec = next(iter(yaml.load_all(package.read_text(), LOADER)))
    except (OSError, yaml.YAMLError, StopIteration) as error:
        raise InputError(f"{package}: cannot be read as a compiled pipeline ({error})") from None
    if not (isinstance(spec, dict) and "pipelineInfo" in spec):
        raise InputError(f"{package}: is no compiled pipeline; write one with `fourstep compile`")
    return spec


LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def task_outputs(spec: dict[str, Any]) -> dict[str, list[str]]:
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
