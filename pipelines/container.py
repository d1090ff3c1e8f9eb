"""A Kubeflow container component, made from a stage's one declaration."""

import inspect
from collections.abc import Collection, Mapping
from typing import Any

from kfp import dsl

from components.command_line import field_docs
from components.contract import Output, load_stage, roles

ARTIFACTS: dict[str, type[dsl.Artifact]] = {
    "Dataset": dsl.Dataset,
    "Model": dsl.Model,
    "Metrics": dsl.Metrics,
    "HTML": dsl.HTML,
    "Plot": dsl.Artifact,
    "Artifact": dsl.Artifact,
}
"""Kubeflow's artifact type for each kind of input and output."""


def stage_component(
    name: str,
    stage: str,
    image: str,
    *,
    inputs: Collection[str],
    fixed: Mapping[str, str],
    cache_key: Collection[str] = (),
) -> Any:
    """The component for one use of a stage.

    Its command is that of dvc.yaml with Kubeflow's paths, and the section as one JSON object:
    ``python -m components.<stage> --<input> PATH ... --parameters JSON --executor_input JSON``.

    Args:
        name: of the component and its task, such as ``generate_proposals_1``.
        stage: the stage, such as ``generate_proposals``.
        image: container image.
        inputs: the stage's inputs that come from other tasks.
        fixed: values of flags that are the same in every run: mounted folders, an address.
        cache_key: inputs that the command has no use for; their values are in the cache key.
    """
    declaration = load_stage(stage)
    known = roles(declaration)
    artifacts = {n: r for n, r in known.items() if n in inputs or isinstance(r, Output)}

    def container(*given: Any) -> dsl.ContainerSpec:
        value = dict(zip(signature.parameters, given, strict=True))
        arguments: list[Any] = []
        for flag in [*known, *(f for f in fixed if f not in known)]:
            if flag in artifacts:
                arguments += [f"--{flag}", value[flag].path]
            elif flag in fixed:
                arguments += [f"--{flag}", fixed[flag]]
        arguments += ["--parameters", value["parameters"]]
        arguments += ["--executor_input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER]
        return dsl.ContainerSpec(image, ["python", "-m", f"components.{stage}"], arguments)

    signature = inspect.Signature(
        [
            *(parameter(n, annotation(role)) for n, role in artifacts.items()),
            parameter("parameters", dict),
            *(parameter(n, dict) for n in cache_key),
        ]
    )
    container.__signature__ = signature  # type: ignore[attr-defined]
    container.__name__ = name
    container.__doc__ = docstring(declaration, artifacts)
    return dsl.container_component(container)


def parameter(name: str, kind: Any) -> inspect.Parameter:
    """A parameter of the function that kfp makes a component of."""
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=kind)


def annotation(role: Any) -> Any:
    """kfp's type of an input or output."""
    artifact = ARTIFACTS[role.kind]
    return dsl.Output[artifact] if isinstance(role, Output) else dsl.Input[artifact]


def docstring(declaration: type, artifacts: Collection[str]) -> str:
    """The stage's docstring with its inputs and outputs, which Kubeflow's pages show."""
    docs = field_docs(declaration)
    lines = [f"    {name}: {docs[name]}" for name in artifacts]
    lines.append("    parameters: The stage's section of params.yaml.")
    return "\n".join([inspect.cleandoc(declaration.__doc__ or ""), "", "Args:", *lines])
