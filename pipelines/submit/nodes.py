"""The nodes of the Argo workflow behind a run, named again.

The server's list of tasks leaves out a node's name and its own id: an entry has a display name and
the ids of the nodes that come after it, as ``child_tasks[].pod_name``. A node's id is the
workflow's name and the FNV-1a hash of the node's name, and that name is a path of display names:
``four-step-x7k2p.root.train-rpn.executor``. So the names are found by trying.

A template with a retry strategy has a node ``NAME`` and one ``NAME(i)`` for each attempt, which is
what the nodes inside of it hang on: ``four-step-x7k2p(0).root(0).train-rpn(0).executor(0)``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_ATTEMPT = re.compile(r"(.+)\(\d+\)")
_POD = re.compile(r"(executor|.+-driver)(\(\d+\))?")


@dataclass(frozen=True)
class Node:
    """A node of the workflow."""

    id: str
    name: str
    label: str
    """Its display name: the last part of its name."""


def node_id(workflow: str, name: str) -> str:
    """The id that Argo gives to the node of this name."""
    return workflow if name == workflow else f"{workflow}-{_fnv1a(name)}"


def container_nodes(task: Any, details: Sequence[Any]) -> list[Node]:
    """The nodes whose pods ran a task's container, one for each attempt, in order.

    Args:
        task: the entry of the task, or of a driver, in the server's list.
        details: the whole list.
    """
    nodes = _name_nodes(details)
    own = set(_children(task))
    label = task.display_name
    if label.endswith("-driver"):  # the driver is a pod itself
        return _attempts(nodes, [n for n in nodes.values() if n.label == label])
    inner = [node for node in nodes.values() if node.id in own]
    inside = [f"{node.name}.executor" for node in inner if _is_attempt(node.label, label)]
    executors = [node for node in inner if node.label == "executor"]
    return _attempts(nodes, executors + [nodes[name] for name in inside if name in nodes])


def _attempts(nodes: dict[str, Node], parents: list[Node]) -> list[Node]:
    """The attempts of each of these nodes; a node without retries is its own attempt."""
    found: list[Node] = []
    for parent in parents:
        tried = [node for node in nodes.values() if _is_attempt(node.name, parent.name)]
        found += sorted(tried, key=_number) or [parent]
    return found


def _is_attempt(name: str, of: str) -> bool:
    found = _ATTEMPT.fullmatch(name)
    return found is not None and found[1] == of


def _number(attempt: Node) -> int:
    return int(attempt.name.rpartition("(")[2].rstrip(")"))


def _name_nodes(details: Sequence[Any]) -> dict[str, Node]:
    """The nodes that another one leads to, by name."""
    ids = {child for detail in details for child in _children(detail)}
    labels = {detail.display_name for detail in details if detail.display_name}
    if not ids:
        return {}
    workflow = next(iter(ids)).rpartition("-")[0]
    found: dict[str, Node] = {}
    scopes = [name for name in labels if name == workflow or _is_attempt(name, workflow)]
    while scopes:
        scope = scopes.pop()
        state = _fnv1a(f"{scope}.")
        for label in labels:
            if (inner := f"{workflow}-{_fnv1a(label, state)}") in ids:
                name = f"{scope}.{label}"
                found[name] = Node(inner, name, label)
                if not _POD.fullmatch(label):
                    scopes.append(name)
    return found


def _children(detail: Any) -> list[str]:
    return [child.pod_name for child in detail.child_tasks or [] if child.pod_name]


def _fnv1a(text: str, state: int = 0x811C9DC5) -> int:
    for byte in text.encode():
        state = (state ^ byte) * 0x01000193 & 0xFFFFFFFF
    return state
