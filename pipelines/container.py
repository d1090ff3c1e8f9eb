"""Kubeflow container components: of a stage's one declaration, and of `fourstep check`."""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
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
    artifacts = {
        n: artifact_type(role)
        for n, role in roles(declaration).items()
        if n in inputs or isinstance(role, Output)
    }

    def container(given: Mapping[str, Any]) -> dsl.ContainerSpec:
        arguments = [word for n in artifacts for word in (f"--{n}", given[n].path)]
        arguments += [word for n, value in fixed.items() for word in (f"--{n}", value)]
        arguments += ["--parameters", given["parameters"]]
        arguments += ["--executor_input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER]
        return dsl.ContainerSpec(image, ["python", "-m", f"components.{stage}"], arguments)

    interface = artifacts | {"parameters": dict} | dict.fromkeys(cache_key, dict)
    return component(name, docstring(declaration, artifacts), interface, container)


def check_component(name: str, image: str, sections: Sequence[str]) -> Any:
    """The component that checks all sections, given as JSON: ``fourstep check``."""

    def container(given: Mapping[str, Any]) -> dsl.ContainerSpec:
        arguments = [w for s in sections for w in ("--section", f"{s}={given[s]}")]
        arguments += ["--write", given["sections"].path]
        return dsl.ContainerSpec(image, ["fourstep", "check"], arguments)

    interface = dict.fromkeys(sections, dict) | {"sections": dsl.Output[dsl.Artifact]}
    doc = "Check every section of params.yaml, before anything expensive starts."
    return component(name, doc, interface, container)


def component(
    name: str,
    doc: str,
    interface: Mapping[str, Any],
    container: Callable[[Mapping[str, Any]], dsl.ContainerSpec],
) -> Any:
    """kfp's component of a function whose parameters, and their types, are in `interface`."""

    def function(*given: Any) -> dsl.ContainerSpec:
        return container(dict(zip(interface, given, strict=True)))

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    function.__name__, function.__doc__ = name, doc
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(n, kind, annotation=value) for n, value in interface.items()]
    )
    return dsl.container_component(function)


def artifact_type(role: Any) -> Any:
    """kfp's annotation of an input or output."""
    artifact = ARTIFACTS[role.kind]
    return dsl.Output[artifact] if isinstance(role, Output) else dsl.Input[artifact]


def docstring(declaration: type, artifacts: Collection[str]) -> str:
    """The stage's docstring with its inputs and outputs, which Kubeflow's pages show."""
    docs = field_docs(declaration)
    lines = [f"    {name}: {docs[name]}" for name in artifacts]
    lines.append("    parameters: The stage's section of params.yaml.")
    return "\n".join([inspect.cleandoc(declaration.__doc__ or ""), "", "Args:", *lines])
