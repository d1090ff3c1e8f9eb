"""Rule `cached-exit-handler`: what runs at the end of a run does run each time."""

from collections.abc import Iterator

from pipelines.lint.finding import Finding
from pipelines.lint.pipeline import Pipeline, Task


def cached_exit_handlers(pipeline: Pipeline) -> Iterator[Finding]:
    """Exit handlers whose result may be taken from the cache."""
    for task in pipeline.tasks():
        if task.spec.caching_options.enable_cache and _is_exit_handler(pipeline, task):
            yield Finding(
                "warning",
                "cached-exit-handler",
                task.where,
                "this exit handler is cached: with the same inputs it is skipped in the next run; "
                "task.set_caching_options(False)",
            )


def _is_exit_handler(pipeline: Pipeline, task: Task) -> bool:
    """Whether a task waits, whatever their end, for the tasks of a ``dsl.ExitHandler``."""
    policy = task.spec.trigger_policy
    waits = policy.strategy == policy.ALL_UPSTREAM_TASKS_COMPLETED
    siblings = {sibling.name: sibling for sibling in pipeline.tasks_of(task.parent)}
    guarded = (siblings[name] for name in task.spec.dependent_tasks if name in siblings)
    return waits and any(
        guard.spec.component_ref.name.startswith("comp-exit-handler") for guard in guarded
    )
