"""Rule `dangling`: kfp's compiler left no reference of its own in a text."""

import re
from collections.abc import Iterator

from pipelines.lint.dangling import error
from pipelines.lint.finding import Finding
from pipelines.lint.pipeline import Pipeline, proto_strings, strings
from pipelines.lint.schema import EXECUTORS, KUBERNETES

CHANNEL = re.compile(r"\{\{channel:task=([^;}]*);name=([^;}]+);[^}]*\}\}")
"""How kfp writes an input or a task's output within a text until it compiles the text."""


def unresolved(pipeline: Pipeline) -> Iterator[Finding]:
    """Inputs and outputs within a text, such as ``f"{team}-login"``, that kfp did not compile."""
    texts = [
        (f"{EXECUTORS}.{label}", text)
        for label, executor in pipeline.executors.items()
        for text in proto_strings(executor)
    ]
    texts += [
        (f"{KUBERNETES}.{label}", text)
        for label, config in pipeline.structs.items()
        for text in strings(config)
    ]
    for where, text in texts:
        for task, name in CHANNEL.findall(text):
            what = f"output '{name}' of task '{task}'" if task else f"input '{name}'"
            yield error(
                where,
                f"kfp did not compile {what} within a text: the cluster gets '{text[:80]}' as it "
                "stands; pass the whole text as an input of the pipeline or a task's output",
            )
