"""Which tasks a task of a compiled pipeline waits for.

kfp's compiler names every task that an input comes from. A task that waits for another one waits
for all before that one, too. So most of those names say nothing new, and Kubeflow's page draws a
line for each.
"""

from collections.abc import Collection, Mapping
from graphlib import TopologicalSorter
from typing import Any


def say_waiting_once(spec: dict[str, Any]) -> None:
    """Leave in each task's ``dependentTasks`` what does not follow from the others, in place."""
    tasks = spec["root"]["dag"]["tasks"]
    waits = {name: task.get("dependentTasks", []) for name, task in tasks.items()}
    for name, needed in reduced(waits).items():
        if needed:
            tasks[name]["dependentTasks"] = needed


def reduced(waits: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """The fewest tasks that each one has to wait for: the transitive reduction, sorted.

    Args:
        waits: the tasks that each one waits for; without cycles.
    """
    before = all_before(waits)
    return {
        name: sorted(d for d in direct if not any(d in before[other] for other in direct))
        for name, direct in waits.items()
    }


def all_before(waits: Mapping[str, Collection[str]]) -> dict[str, set[str]]:
    """All tasks that end before each one starts."""
    before: dict[str, set[str]] = {}
    for name in TopologicalSorter(waits).static_order():
        direct = waits.get(name, ())
        before[name] = {*direct, *(above for task in direct for above in before[task])}
    return before
