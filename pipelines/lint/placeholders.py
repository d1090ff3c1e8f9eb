"""Rule `dangling`: placeholders in containers, and what the platform document refers to."""

import json
from collections.abc import Iterator
from typing import Any

from pipelines.lint.dangling import INJECTED, error, some
from pipelines.lint.finding import Finding
from pipelines.lint.pipeline import PLACEHOLDER, Pipeline, Task, proto_strings, strings
from pipelines.lint.schema import KUBERNETES


def placeholders(pipeline: Pipeline) -> Iterator[Finding]:
    """Placeholders of commands, arguments, environment, image and resources of each executor."""
    for name, component in pipeline.components.items():
        executor = pipeline.executors.get(component.executor_label)
        if executor is None or component.WhichOneof("implementation") != "executor_label":
            continue
        users = [task for task in pipeline.tasks() if task.spec.component_ref.name == name]
        where = f"deploymentSpec.executors.{component.executor_label}"
        for text in proto_strings(executor):
            for side, kind, key in [*PLACEHOLDER.findall(text), *_optional_inputs(text)]:
                declared = _declared(component, side, kind)
                given = {item for task in users for item in getattr(task.spec.inputs, kind)}
                if key not in declared and (side == "outputs" or key not in given):
                    yield error(
                        where,
                        f"a placeholder reads {side[:-1]} {kind[:-1]} '{key}', which {name} does "
                        f"not declare; {some(declared)}",
                    )


def _declared(component: Any, side: str, kind: str) -> set[str]:
    definitions = component.input_definitions if side == "inputs" else component.output_definitions
    return set(getattr(definitions, kind))


def _optional_inputs(text: str) -> list[tuple[str, str, str]]:
    """The inputs that kfp's ``{"IfPresent": {"InputName": ...}}`` in an argument asks for."""
    if not text.startswith('{"'):
        return []
    try:
        value = json.loads(text)
    except ValueError:
        return []
    condition = value.get("IfPresent") if isinstance(value, dict) else None
    name = condition.get("InputName") if isinstance(condition, dict) else None
    return [("inputs", "parameters", name)] if isinstance(name, str) else []


def platform_references(pipeline: Pipeline) -> Iterator[Finding]:
    """Executors and task inputs that the platform document names."""
    for label, config in pipeline.structs.items():
        where = f"{KUBERNETES}.{label}"
        if label not in pipeline.executors:
            yield error(where, f"is no executor of deploymentSpec; {some(pipeline.executors)}")
            continue
        users = pipeline.users(label)
        for key, value in _references(config):
            if users and not any(_resolves(pipeline, task, key, value) for task in users):
                yield error(
                    where,
                    f"{key} '{value}' is nothing that {users[0].where} or its DAG has; name an "
                    "input of the pipeline or a task beside it",
                )


def platform_inputs(pipeline: Pipeline, label: str) -> set[str]:
    """The inputs that an executor's platform configuration reads."""
    config = pipeline.structs.get(label, {})
    read = {value for key, value in _references(config) if key == "componentInputParameter"}
    return read | {name for text in strings(config) for _, _, name in PLACEHOLDER.findall(text)}


def _references(config: Any) -> Iterator[tuple[str, str]]:
    """The (key, name) pairs of a nested configuration that refer to inputs and tasks."""
    if isinstance(config, list):
        for item in config:
            yield from _references(item)
    elif isinstance(config, dict):
        for key, value in config.items():
            if key in ("componentInputParameter", "producerTask") and isinstance(value, str):
                yield key, value
            else:
                yield from _references(value)


def _resolves(pipeline: Pipeline, task: Task, key: str, name: str) -> bool:
    if key == "producerTask":
        return name in pipeline.components[task.parent].dag.tasks
    known = {*pipeline.components[task.parent].input_definitions.parameters}
    known |= {*task.spec.inputs.parameters}
    return name in known or f"{INJECTED}{name}" in known
