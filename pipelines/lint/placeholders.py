"""Rule `dangling`: placeholders in containers, and what the platform document refers to."""

from collections.abc import Iterator
from typing import Any

from pipelines.lint.conditions import conditional_inputs
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
        where = f"deploymentSpec.executors.{component.executor_label}"
        users = [task for task in pipeline.tasks() if task.spec.component_ref.name == name]
        for text in proto_strings(executor):
            for what, known in _unknown(component, users, text):
                yield error(where, f"{what}, which {name} does not declare; {some(known)}")


def _unknown(component: Any, users: list[Task], text: str) -> Iterator[tuple[str, set[str]]]:
    """What a text reads though neither the component nor a task gives it, and what there is."""
    given = {
        kind: {name for task in users for name in getattr(task.spec.inputs, kind)}
        for kind in ("parameters", "artifacts")
    }
    for side, kind, name in PLACEHOLDER.findall(text):
        declared = _declared(component, side, kind)
        if name not in declared and (side == "outputs" or name not in given[kind]):
            yield f"a placeholder reads {side[:-1]} {kind[:-1]} '{name}'", declared
    inputs = _declared(component, "inputs", "parameters")
    inputs |= _declared(component, "inputs", "artifacts")
    for name in conditional_inputs(text):
        if name not in inputs and not any(name in names for names in given.values()):
            yield f"an IfPresent asks for input '{name}'", inputs


def _declared(component: Any, side: str, kind: str) -> set[str]:
    definitions = component.input_definitions if side == "inputs" else component.output_definitions
    return set(getattr(definitions, kind))


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
