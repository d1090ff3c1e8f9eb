"""Rule `size`: what Kubeflow makes of the file fits into a cluster."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict

from pipelines.lint.finding import Finding, Severity
from pipelines.lint.pipeline import Pipeline
from pipelines.lint.run_size import state_bytes

KIB = 1024
BYTES_A_TASK = 1536
"""What Argo's templates of one task take beside its specification; an estimate."""


@dataclass(frozen=True)
class Limit:
    """A limit in bytes, and from which share of it on there is a warning."""

    name: str
    limit: int
    over: Severity
    warn_from: float = 0.5


WORKFLOW = Limit("the Argo workflow made of it, which may have 1 MiB", KIB * KIB, "error")
STATE = Limit(
    "the state of a finished run (an estimate, where the cluster has default retries), which Argo "
    "keeps in the workflow; over 1 MiB in all Kubeflow's list of tasks stands still",
    KIB * KIB,
    "warning",
    warn_from=800_000 / KIB**2,
)
ANNOTATIONS = Limit(
    "its components, which Kubeflow Pipelines 2.2 and older keep in annotations of 256 KiB in all",
    256 * KIB,
    "warning",
    warn_from=1,
)
ARGUMENT = Limit("one argument of a command, which Linux limits to 128 KiB", 128 * KIB, "error")
COMPONENT = Limit(
    "this component, which older servers pass to their driver as one argument of at most 128 KiB",
    128 * KIB,
    "warning",
)
PARAMETERS = Limit(
    "the defaults of all pipeline parameters, which may have 10,000 bytes (the server's "
    "MAX_PARAMETER_BYTES)",
    10_000,
    "error",
)


def sizes(pipeline: Pipeline) -> Iterator[Finding]:
    """Sizes over a limit, or over the share of it from which on there is a warning (`Limit`)."""
    components, executors = _texts(pipeline.components), _texts(pipeline.executors)
    configs = _texts(pipeline.kubernetes)
    # Argo's workflow holds equal containers once.
    kept = {*components.values(), *executors.values(), *configs.values()}
    tasks = [_json(task.spec) for task in pipeline.tasks()]
    total = sum(_embedded(text) for text in [*kept, *tasks]) + len(tasks) * BYTES_A_TASK
    split = "split it into smaller pipelines, or give large texts as artifacts"
    yield from _check(ANNOTATIONS, sum(len(text) for text in kept), "the file", split)
    yield from _check(WORKFLOW, total, "the file", split)
    yield from _check(
        STATE,
        state_bytes(pipeline),
        "the file",
        "fewer artifacts between tasks, and less metadata on them, save most; or fewer tasks",
    )
    for name, text in components.items():
        parts = "put some of its tasks into a pipeline of their own"
        yield from _check(COMPONENT, len(text), name, parts)
    for label, executor in pipeline.executors.items():
        arguments = [*executor.container.command, *executor.container.args]
        longest = max((len(text.encode()) for text in arguments), default=0)
        where = f"deploymentSpec.executors.{label}"
        yield from _check(ARGUMENT, longest, where, "put the text into the image or an artifact")
    yield from _defaults(pipeline)


def _check(limit: Limit, size: int, where: str, remedy: str) -> Iterator[Finding]:
    if size <= limit.limit * limit.warn_from:
        return
    severity: Severity = limit.over if size > limit.limit else "warning"
    share = f"{size:,} bytes, {size / limit.limit:.0%} of the limit"
    yield Finding(severity, "size", where, f"{limit.name}: {share}; {remedy}")


def _defaults(pipeline: Pipeline) -> Iterator[Finding]:
    parameters = pipeline.components["root"].input_definitions.parameters
    texts = {
        name: _json(parameter.default_value)
        for name, parameter in parameters.items()
        if parameter.HasField("default_value")
    }
    largest = max(texts, key=lambda name: len(texts[name]), default="")
    remedy = f"the largest is '{largest}'; give large values as a file"
    total = sum(len(name) + len(text) + len('"":,') for name, text in texts.items())
    yield from _check(PARAMETERS, total, "root.inputDefinitions.parameters", remedy)


def _texts(messages: Mapping[str, Any]) -> dict[str, str]:
    return {name: _json(message) for name, message in messages.items()}


def _json(message: Any) -> str:
    """A message as JSON; ASCII, so that characters are bytes."""
    return json.dumps(MessageToDict(message), separators=(",", ":"))


def _embedded(text: str) -> int:
    """Bytes of a JSON text that stands as a string in another JSON text, as in Argo's workflow."""
    return len(json.dumps(text))
