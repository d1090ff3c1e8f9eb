"""Rule `dangling`: whatever a DAG refers to is there."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from pipelines.lint.finding import Finding
from pipelines.lint.pipeline import (
    PLACEHOLDER,
    Pipeline,
    Task,
    parent_inputs,
    producers,
    proto_strings,
)

CONDITION_INPUT = re.compile(r"inputs\.parameter_values\['(.+?)'\]")
INJECTED = "pipelinechannel--"
INJECTED_NAMES = {
    "accelerator_count",
    "accelerator_type",
    "base_image",
    "cpu_limit",
    "cpu_request",
    "memory_limit",
    "memory_request",
}
"""Inputs that kfp's compiler gives a task beside those its component declares: values for
placeholders in other inputs, resources and images that are set at run time."""
LOOP_ITEM = "loop-item"
LOOP = (
    "kfp compiles such a loop wrongly (kubeflow/pipelines #13273): loop over a pipeline input or a "
    "task's output, and give fields of its items as inputs of their own, not within a text"
)


def dangling(pipeline: Pipeline) -> Iterator[Finding]:
    """References of components, tasks and DAG outputs."""
    yield from _implementations(pipeline)
    for task in pipeline.tasks():
        yield from _component(pipeline, task)
        yield from _dependencies(pipeline, task)
        yield from _passed_down(pipeline, task)
        yield from _own_references(task)
        if pipeline.component(task) is not None:
            yield from _given_inputs(pipeline, task)
    for name in pipeline.components:
        yield from _dag_outputs(pipeline, name)


def error(where: str, message: str) -> Finding:
    """A finding of this rule."""
    return Finding("error", "dangling", where, message)


def some(names: Iterable[str]) -> str:
    """Known names, for a message."""
    listed = sorted(names)
    more = f" and {len(listed) - 8} more" if len(listed) > 8 else ""
    return f"there are {', '.join(listed[:8])}{more}" if listed else "there is none"


def _implementations(pipeline: Pipeline) -> Iterator[Finding]:
    for name, component in pipeline.components.items():
        kind = component.WhichOneof("implementation")
        if kind is None:
            yield error(name, "has neither a dag nor an executorLabel; compile it again")
        elif kind == "executor_label" and component.executor_label not in pipeline.executors:
            yield error(
                name,
                f"executorLabel '{component.executor_label}' is no executor of deploymentSpec; "
                f"{some(pipeline.executors)}",
            )


def _component(pipeline: Pipeline, task: Task) -> Iterator[Finding]:
    name = task.spec.component_ref.name
    if not name or name == "root" or name not in pipeline.components:
        known = some(pipeline.components.keys() - {"root"})
        yield error(task.where, f"componentRef '{name}' is no component; {known}")


def _dependencies(pipeline: Pipeline, task: Task) -> Iterator[Finding]:
    siblings = {sibling.name: sibling for sibling in pipeline.tasks_of(task.parent)}
    for name in task.spec.dependent_tasks:
        if name not in siblings:
            yield error(
                task.where, f"dependentTasks: '{name}' is no task of this DAG; {some(siblings)}"
            )
    for producer, kind, output in producers(task):
        if producer not in siblings:
            yield error(
                task.where, f"producerTask '{producer}' is no task of this DAG; {some(siblings)}"
            )
        elif output:
            yield from _output(pipeline, siblings[producer], kind, output, task.where)


def _output(
    pipeline: Pipeline, producer: Task, kind: str, output: str, where: str
) -> Iterator[Finding]:
    component = pipeline.component(producer)
    if component is None:
        return
    declared = getattr(component.output_definitions, kind)
    if output not in declared:
        yield error(
            where,
            f"'{producer.name}' has no output {kind[:-1]} '{output}'; {some(declared)}",
        )


def _passed_down(pipeline: Pipeline, task: Task) -> Iterator[Finding]:
    definitions = pipeline.components[task.parent].input_definitions
    for name, kind, source in parent_inputs(task):
        declared = getattr(definitions, kind)
        if source not in declared:
            yield error(
                task.where,
                f"input '{name}' comes from {kind[:-1]} '{source}', which {task.parent} does not "
                f"declare as an input; {LOOP if LOOP_ITEM in source else some(declared)}",
            )


def _own_references(task: Task) -> Iterator[Finding]:
    """Iterators, conditions and placeholders in constants see the task's own inputs."""
    inputs = task.spec.inputs
    iterators = (
        (inputs.parameters, task.spec.parameter_iterator.items.input_parameter),
        (inputs.artifacts, task.spec.artifact_iterator.items.input_artifact),
    )
    for given, name in iterators:
        if name and name not in given:
            yield error(task.where, f"iterates over '{name}', which it is not given; {some(given)}")
    for name in CONDITION_INPUT.findall(task.spec.trigger_policy.condition):
        if name not in inputs.parameters:
            yield error(
                task.where,
                f"its condition reads '{name}', which it is not given; {some(inputs.parameters)}",
            )
    for input_name, value in inputs.parameters.items():
        for text in proto_strings(value.runtime_value.constant):
            for _, kind, name in PLACEHOLDER.findall(text):
                if name not in getattr(inputs, kind):
                    yield error(
                        task.where,
                        f"the constant of input '{input_name}' reads '{name}', which the task is "
                        f"not given; {some(getattr(inputs, kind))}",
                    )


def _given_inputs(pipeline: Pipeline, task: Task) -> Iterator[Finding]:
    component = pipeline.component(task)
    assert component is not None
    items = {task.spec.parameter_iterator.item_input, task.spec.artifact_iterator.item_input} - {""}
    for kind in ("parameters", "artifacts"):
        given = set(getattr(task.spec.inputs, kind))
        declared = getattr(component.input_definitions, kind)
        for name in sorted(given - set(declared)):
            if not name.startswith(INJECTED) and name not in INJECTED_NAMES:
                yield error(
                    task.where,
                    f"gives {kind[:-1]} '{name}', which its component does not declare; "
                    f"{some(declared)}",
                )
        for name in sorted(set(declared) - given - items):
            if not declared[name].is_optional and not _has_default(declared[name]):
                yield error(
                    task.where,
                    f"does not give {kind[:-1]} '{name}', which its component requires; give it, "
                    "or declare a default",
                )
    inputs = component.input_definitions
    for name in sorted(items - {*inputs.parameters, *inputs.artifacts}):
        yield error(task.where, f"itemInput '{name}' is no input of its component")


def _has_default(definition: Any) -> bool:
    return "default_value" in definition.DESCRIPTOR.fields_by_name and definition.HasField(
        "default_value"
    )


def _dag_outputs(pipeline: Pipeline, name: str) -> Iterator[Finding]:
    component = pipeline.components[name]
    if component.WhichOneof("implementation") != "dag":
        return
    siblings = {task.name: task for task in pipeline.tasks_of(name)}
    for kind, selectors in (
        ("parameters", _parameter_selectors),
        ("artifacts", _artifact_selectors),
    ):
        outputs = getattr(component.dag.outputs, kind)
        declared = getattr(component.output_definitions, kind)
        for output in sorted(set(declared) - set(outputs)):
            yield error(name, f"output {kind[:-1]} '{output}' is declared, but no task makes it")
        for output in sorted(outputs):
            if output not in declared:
                yield error(
                    name, f"output {kind[:-1]} '{output}' is not declared; {some(declared)}"
                )
            for producer, key in selectors(outputs[output]):
                if producer in siblings:
                    yield from _output(pipeline, siblings[producer], kind, key, name)
                else:
                    yield error(
                        name,
                        f"output '{output}': producerSubtask '{producer}' is no task of this DAG; "
                        f"{some(siblings)}",
                    )


def _parameter_selectors(output: Any) -> list[tuple[str, str]]:
    if output.HasField("value_from_parameter"):
        found = [output.value_from_parameter]
    else:
        found = list(output.value_from_oneof.parameter_selectors)
    return [(selector.producer_subtask, selector.output_parameter_key) for selector in found]


def _artifact_selectors(output: Any) -> list[tuple[str, str]]:
    found = output.artifact_selectors
    return [(selector.producer_subtask, selector.output_artifact_key) for selector in found]
