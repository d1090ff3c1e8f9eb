"""Which literals name an object of Kubernetes: a Secret's name is not a secret."""

from collections.abc import Iterator

from pipelines.lint.dangling import INJECTED
from pipelines.lint.pipeline import Pipeline, Task
from pipelines.lint.placeholders import platform_inputs

Input = tuple[str, str]
"""A component and one of its parameters."""


def object_names(pipeline: Pipeline) -> frozenset[str]:
    """The places of literals that reach the platform document, however deep the pipelines nest.

    What the platform document reads are names of Secrets, ConfigMaps and volume claims, and
    settings such as tolerations; never a secret itself.
    """
    waiting = [found for task in pipeline.tasks() for found in _read(pipeline, task)]
    seen: set[Input] = set()
    places: set[str] = set()
    while waiting:
        component, name = found = waiting.pop()
        if found in seen:
            continue
        seen.add(found)
        places.add(f"{_place(component)}.inputDefinitions.parameters.{name}")
        for task in pipeline.tasks():
            if task.spec.component_ref.name == component:
                places.add(f"{_place(task.parent)}.dag.tasks.{task.name}.inputs.parameters.{name}")
                waiting += _sources(task, name)
    return frozenset(places)


def _read(pipeline: Pipeline, task: Task) -> Iterator[Input]:
    """The parameters of the enclosing component that a task's platform configuration reads."""
    declared = pipeline.components[task.parent].input_definitions.parameters
    for name in platform_inputs(pipeline, pipeline.label(task)):
        for parameter in (name, f"{INJECTED}{name}"):
            if parameter in declared:
                yield task.parent, parameter
        yield from _sources(task, name)


def _sources(task: Task, name: str) -> Iterator[Input]:
    """Where a task's input comes from: its enclosing component, or the items that it iterates."""
    iterator = task.spec.parameter_iterator
    if iterator.item_input == name:
        yield task.spec.component_ref.name, iterator.items.input_parameter
    given = task.spec.inputs.parameters
    if name in given and given[name].HasField("component_input_parameter"):
        yield task.parent, given[name].component_input_parameter


def _place(component: str) -> str:
    return component if component == "root" else f"components.{component}"
