"""A compiled pipeline as kfp's protobuf messages, and the ways through it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict

PLACEHOLDER = re.compile(
    r"\{\{\$\.(inputs|outputs)\.(parameters|artifacts)\[\\?['\"](.+?)\\?['\"]\]"
)
"""Side, kind and name that kfp's ``{{$.inputs.parameters['lr']}}`` stands for."""


@dataclass(frozen=True)
class Task:
    """A task with the component whose DAG holds it (`parent`, "root" for the pipeline itself)."""

    parent: str
    name: str
    spec: Any

    @property
    def where(self) -> str:
        """The task's place, such as ``root/train``."""
        return f"{self.parent}/{self.name}"


@dataclass(frozen=True)
class Pipeline:
    """The messages of both documents.

    `components` are ComponentSpecs by name, "root" among them; `executors` are ExecutorSpecs,
    `kubernetes` KubernetesExecutorConfigs and `structs` the latter as they stand in the file, by
    executor label; `config` is a PipelineConfig.
    """

    components: Mapping[str, Any]
    executors: Mapping[str, Any]
    kubernetes: Mapping[str, Any]
    structs: Mapping[str, Mapping[str, Any]]
    config: Any

    def tasks(self) -> Iterator[Task]:
        """All tasks of all DAGs."""
        for parent in self.components:
            yield from self.tasks_of(parent)

    def tasks_of(self, parent: str) -> list[Task]:
        """The tasks of one component's DAG; none if it is no DAG."""
        dag = self.components[parent].dag
        return [Task(parent, name, dag.tasks[name]) for name in sorted(dag.tasks)]

    def component(self, task: Task) -> Any | None:
        """The component that a task runs."""
        return self.components.get(task.spec.component_ref.name)

    def label(self, task: Task) -> str:
        """The executor label of a task; "" for a sub-DAG and an unknown component."""
        component = self.component(task)
        return str(component.executor_label) if component is not None else ""

    def users(self, label: str) -> list[Task]:
        """The tasks that run on an executor."""
        return [task for task in self.tasks() if self.label(task) == label]


def producers(task: Task) -> Iterator[tuple[str, str, str]]:
    """The (producer task, kind, output) triples of the inputs that other tasks make.

    The kind is "parameters" or "artifacts"; a final status has no output name.
    """
    for value in task.spec.inputs.parameters.values():
        if value.HasField("task_output_parameter"):
            source = value.task_output_parameter
            yield source.producer_task, "parameters", source.output_parameter_key
        elif value.HasField("task_final_status"):
            yield value.task_final_status.producer_task, "parameters", ""
    for value in task.spec.inputs.artifacts.values():
        if value.HasField("task_output_artifact"):
            source = value.task_output_artifact
            yield source.producer_task, "artifacts", source.output_artifact_key


def parent_inputs(task: Task) -> Iterator[tuple[str, str, str]]:
    """The (input, kind, input of the enclosing component) triples that are passed down."""
    for name, value in task.spec.inputs.parameters.items():
        if value.HasField("component_input_parameter"):
            yield name, "parameters", value.component_input_parameter
    for name, value in task.spec.inputs.artifacts.items():
        if value.HasField("component_input_artifact"):
            yield name, "artifacts", value.component_input_artifact


def accelerator(executor: Any) -> str:
    """What an executor asks for, such as ``1 x nvidia.com/gpu``; "" if for no accelerator."""
    wanted = executor.container.resources.accelerator
    kind = wanted.resource_type or wanted.type
    count = wanted.resource_count or str(wanted.count or "")
    if not kind or count == "0":
        return ""
    return f"{count if count.isdigit() else 'some'} x {kind}"


def strings(value: Any) -> Iterator[str]:
    """All strings in a nested value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from strings(key)
            yield from strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)


def proto_strings(message: Any) -> Iterator[str]:
    """All strings in a message."""
    return strings(MessageToDict(message))
