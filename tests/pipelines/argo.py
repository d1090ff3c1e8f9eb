"""Argo workflows, and the list of tasks that Kubeflow Pipelines makes of their nodes.

`task_details` does what the server of 2.17 does (backend/src/apiserver/server/api_converter.go:
toModelTasks, toApiPipelineTaskDetail). The nodes are recorded ones of tests/pipelines/cases, or
made by `workflow` in the same form: both forms that a real installation gives, with a retry
strategy of Argo for every template (Kubeflow's default) and without.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines.submit.nodes import node_id

CASES = Path(__file__).parent / "cases"
WORKFLOW = "echo-twice-x7k2p"
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STATES = {
    "Pending": "PENDING",
    "Running": "RUNNING",
    "Succeeded": "SUCCEEDED",
    "Skipped": "SKIPPED",
    "Failed": "FAILED",
    "Error": "FAILED",
}
"""Argo's phases; any other, Omitted for one, is RUNTIME_STATE_UNSPECIFIED, which is not sent."""
_NEVER = "0001-01-01T00:00:00Z"

Node = dict[str, Any]


def recorded(case: str) -> dict[str, Node]:
    """The nodes of a workflow that really ran, by id."""
    return json.loads((CASES / f"{case}.json").read_text())["nodes"]


def task_details(run_id: str, nodes: Mapping[str, Node]) -> list[dict]:
    """What the server answers as run_details.task_details."""
    return [_detail(run_id, node) for _, node in sorted(nodes.items())]


def _detail(run_id: str, node: Node) -> dict:
    state = STATES.get(node["phase"])
    detail = {
        "run_id": run_id,
        "task_id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{run_id} {node['name']}")),
        "display_name": node["displayName"],
        "create_time": START.isoformat(),
        "start_time": node["startedAt"],
        "end_time": node.get("finishedAt") or _NEVER,
        "state": state,
        "state_history": [{"update_time": node["startedAt"], "state": state}],
        "child_tasks": [{"pod_name": child} for child in node.get("children") or []],
    }
    return {key: value for key, value in detail.items() if value}


@dataclass
class _Workflow:
    retried: bool
    nodes: dict[str, Node] = field(default_factory=dict)

    def add(
        self, name: str, phase: str, begin: int = 0, end: int | None = 0, tries: int = 1
    ) -> str:
        """A node, with its attempts if its template has a retry strategy; the name inside of it."""
        self._node(name, phase, begin, end)
        if not (self.retried or tries > 1) or phase in ("Skipped", "Omitted"):
            return name
        for n in range(tries):
            self._node(f"{name}({n})", phase, begin, end)
            self.lead(name, f"{name}({n})")
        return f"{name}({tries - 1})"

    def lead(self, one: str, other: str) -> None:
        """Let the second node come after the first."""
        self.nodes[node_id(WORKFLOW, one)]["children"].append(node_id(WORKFLOW, other))

    def _node(self, name: str, phase: str, begin: int, end: int | None) -> None:
        self.nodes[node_id(WORKFLOW, name)] = {
            "name": name,
            "displayName": name.rpartition(".")[2],
            "phase": phase,
            "startedAt": (START + timedelta(seconds=begin)).isoformat(),
            "finishedAt": end is not None and (START + timedelta(seconds=end)).isoformat(),
            "children": [],
        }


def workflow(
    state: str, tasks: Mapping[str, str], *, retried: bool, tries: int = 1
) -> dict[str, Node]:
    """The nodes of a workflow in which tasks follow each other.

    Args:
        state: of the run, as Kubeflow names it.
        tasks: the state of each that has begun, CACHED and OMITTED too. ``NAME-driver`` is a task
            whose driver has failed.
        retried: whether every template has a retry strategy.
        tries: how often the container of a task that fails was started.
    """
    made = _Workflow(retried)
    phase, end = _phase(state), _end(state)
    top = made.add(WORKFLOW, phase, end=end)
    before = root = made.add(f"{top}.root", phase, end=end)
    made.lead(top, f"{top}.root")
    for n, (name, of_task) in enumerate(tasks.items()):
        before = _task(made, f"{root}.{name}", before, of_task, 300 * n, tries)
    return made.nodes


def _task(made: _Workflow, name: str, before: str, state: str, begin: int, tries: int) -> str:
    phase, of_driver = _phase(state), "Succeeded"
    if name.endswith("-driver") or state == "OMITTED":
        phase, of_driver = "Omitted", phase
    task = name.removesuffix("-driver")
    inside = made.add(f"{task}-driver", of_driver, begin, begin + 5)
    made.lead(before, f"{task}-driver")
    end = begin if state == "CACHED" else _end(state, begin + 83)
    body = made.add(task, phase, begin, end)
    made.lead(inside, task)
    if phase != "Omitted":
        executed = "Skipped" if state == "CACHED" else phase
        made.add(f"{body}.executor", executed, begin, end, tries if state == "FAILED" else 1)
        made.lead(body, f"{body}.executor")
    return body


def _phase(state: str) -> str:
    return {"CACHED": "Succeeded", "CANCELING": "Running", "PAUSED": "Running"}.get(
        state, state.capitalize()
    )


def _end(state: str, end: int = 900) -> int | None:
    return None if _phase(state) in ("Pending", "Running") else end
