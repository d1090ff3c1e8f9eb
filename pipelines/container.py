"""Kubeflow container components: of a stage's one declaration, and of `fourstep check`."""

import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from kfp import dsl

from components.contract import Input, Output, Role, load_stage, roles
from components.kubeflow import EXECUTOR_INPUT, TASK

ARTIFACTS: dict[str, type[dsl.Artifact]] = {
    "Dataset": dsl.Dataset,
    "Model": dsl.Model,
    "Metrics": dsl.Metrics,
    "HTML": dsl.HTML,
    "Plot": dsl.Artifact,
    "Artifact": dsl.Artifact,
}
"""Kubeflow's artifact type for each kind of input and output."""
EXECUTOR_INPUT_FLAG = (EXECUTOR_INPUT, dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER)


def stage_component(
    name: str,
    stage: str,
    image: str,
    *,
    inputs: Collection[str],
    fixed: Mapping[str, str],
    prefix: str = "",
    cache_key: Collection[str] = (),
) -> Any:
    """The component for one use of a stage.

    Its command is ``python -m components.<stage> --task NAME --executor_input JSON``, with the
    flags that are the same in every run. All else is in Kubeflow's JSON (`components.kubeflow`):
    each word of the command stands many times in the state of the run. The section of params.yaml
    is the input ``parameters``.

    Args:
        name: of the component and its task, such as ``generate_proposals_1``.
        stage: the stage, such as ``generate_proposals``.
        image: container image.
        inputs: the stage's inputs that come from other tasks.
        fixed: values of flags that are the same in every run: mounted folders, an address.
        prefix: how the names of its artifacts begin, such as ``step_1_``.
        cache_key: inputs that the command has no use for; their values are in the cache key.
    """
    declaration = load_stage(stage)
    interface = artifacts(roles(declaration), inputs, prefix)
    interface |= {"parameters": dict} | dict.fromkeys(cache_key, dict)
    arguments = [word for n, value in fixed.items() for word in (f"--{n}", value)]
    arguments += [TASK, name, *EXECUTOR_INPUT_FLAG]
    container = dsl.ContainerSpec(image, ["python", "-m", f"components.{stage}"], arguments)
    return component(name, summary(declaration), interface, container)


def artifacts(declared: Mapping[str, Role], inputs: Collection[str], prefix: str) -> dict[str, Any]:
    """The types of a stage's artifacts by name: the inputs given, and the outputs but details."""
    found = {}
    for name, role in declared.items():
        if isinstance(role, Output) and not role.detail:
            found[f"{prefix}{name}"] = dsl.Output[ARTIFACTS[role.kind]]
        elif isinstance(role, Input) and name in inputs:
            found[name] = dsl.Input[ARTIFACTS[role.kind]]
    return found


def check_component(name: str, image: str, sections: Sequence[str]) -> Any:
    """The component that checks all sections, which are its inputs: ``fourstep check``."""

    doc = "Check every section of params.yaml, before anything expensive starts."
    container = dsl.ContainerSpec(image, ["fourstep", "check"], list(EXECUTOR_INPUT_FLAG))
    return component(name, doc, dict.fromkeys(sections, dict), container)


def component(
    name: str, doc: str, interface: Mapping[str, Any], container: dsl.ContainerSpec
) -> Any:
    """kfp's component of a function whose parameters, and their types, are in `interface`."""

    def function(*given: Any) -> dsl.ContainerSpec:
        return container

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    function.__name__, function.__doc__ = name, doc
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(n, kind, annotation=value) for n, value in interface.items()]
    )
    return dsl.container_component(function)


def summary(declaration: type) -> str:
    """The first line of a stage's docstring.

    No more: what kfp makes of the rest stands in the state of every pod, many times.
    """
    return inspect.cleandoc(declaration.__doc__ or "").split("\n")[0]
