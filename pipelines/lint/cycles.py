"""Rule `dangling`: no task waits for itself, no component holds itself."""

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from pipelines.lint.dangling import error
from pipelines.lint.finding import Finding
from pipelines.lint.pipeline import Pipeline, producers


def cycles(pipeline: Pipeline) -> Iterator[Finding]:
    """Cycles of tasks within a DAG, and of components that hold each other."""
    for name in pipeline.components:
        yield from _cycle(pipeline, name)
    yield from _nesting_cycle(pipeline)


def _cycle(pipeline: Pipeline, name: str) -> Iterator[Finding]:
    """Tasks of one DAG that wait for each other."""
    waits = {
        task.name: {*task.spec.dependent_tasks, *(producer for producer, _, _ in producers(task))}
        for task in pipeline.tasks_of(name)
    }
    if cycle := _find_cycle(waits):
        yield error(name, f"tasks wait for each other: {' -> '.join(cycle)}; remove one dependency")


def _nesting_cycle(pipeline: Pipeline) -> Iterator[Finding]:
    """Components that hold themselves."""
    holds = {
        name: {task.spec.component_ref.name for task in pipeline.tasks_of(name)}
        for name in pipeline.components
    }
    if cycle := _find_cycle(holds):
        yield error(cycle[0], f"components hold themselves: {' -> '.join(cycle)}")


def _find_cycle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as found:
        return [str(name) for name in reversed(found.args[1])]
    return []
