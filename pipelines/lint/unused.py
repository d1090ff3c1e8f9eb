"""Rule `unused-input`: every input of the pipeline reaches a container."""

from collections.abc import Iterator

from pipelines.lint.dangling import CONDITION_INPUT
from pipelines.lint.finding import Finding
from pipelines.lint.pipeline import Pipeline, Task, parent_inputs
from pipelines.lint.placeholders import platform_inputs


def unused_inputs(pipeline: Pipeline) -> Iterator[Finding]:
    """Inputs of the pipeline that no task uses, however deep."""
    definitions = pipeline.components["root"].input_definitions
    used = _used(pipeline, "root", frozenset())
    for kind in ("parameters", "artifacts"):
        for name in getattr(definitions, kind):
            if name not in used:
                yield Finding(
                    "warning",
                    "unused-input",
                    f"root.inputDefinitions.{kind}.{name}",
                    "no task uses this input, so setting it changes nothing; remove it from the "
                    "pipeline, or pass it to the task that was meant",
                )


def _used(pipeline: Pipeline, name: str, above: frozenset[str]) -> set[str]:
    """The inputs of a component that its tasks use; `above` are the components that hold it."""
    component = pipeline.components.get(name)
    if component is None or name in above:
        return set()
    if component.WhichOneof("implementation") != "dag":
        return {*component.input_definitions.parameters, *component.input_definitions.artifacts}
    used: set[str] = set()
    for task in pipeline.tasks_of(name):
        inside = _used(pipeline, task.spec.component_ref.name, above | {name})
        inside |= _read_by_task(pipeline, task)
        used |= {source for own, _, source in parent_inputs(task) if own in inside}
        used |= platform_inputs(pipeline, pipeline.label(task))
    return used


def _read_by_task(pipeline: Pipeline, task: Task) -> set[str]:
    """Inputs that a task itself reads: to iterate, as a condition, or for its other inputs."""
    spec, component = task.spec, pipeline.component(task)
    iterated = {
        spec.parameter_iterator.items.input_parameter,
        spec.artifact_iterator.items.input_artifact,
    }
    declared: set[str] = set()
    if component is not None:
        inputs = component.input_definitions
        declared = {*inputs.parameters, *inputs.artifacts}
    injected = {*spec.inputs.parameters, *spec.inputs.artifacts} - declared
    return iterated | set(CONDITION_INPUT.findall(spec.trigger_policy.condition)) | injected
