"""A stage, declared once.

A stage is a frozen dataclass: its class name is the stage's name, its docstring the summary,
its fields are the inputs and outputs (``Annotated[Path, Input(...)]``) and the parameters
(everything else; nested dataclasses are groups). From that one declaration come the command
line (`components.command_line`), the Kubeflow component, the check of params.yaml and what
MLflow records.
"""

import dataclasses
import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

Kind = Literal["Dataset", "Model", "Metrics", "Plot", "HTML", "Artifact"]


UNFINISHED = "unfinished"
"""Subfolder of a scratch folder that is removed when the stage has succeeded."""


@dataclass(frozen=True)
class Input:
    """A file or folder that the stage reads."""

    kind: Kind


@dataclass(frozen=True)
class Output:
    """A file or folder that the stage writes; it appears whole or not at all."""

    kind: Kind
    detail: bool = False
    """Whether it only details another output: no stage reads it, the stage's page shows it, MLflow
    keeps it. Kubeflow gets no artifact of it, so that a person still sees the graph."""


@dataclass(frozen=True)
class Scratch:
    """A folder of the stage's own that survives a crash: resumable state, caches, timings.

    It is no output: what lies there may differ between two runs of the same inputs. See also
    `UNFINISHED`.
    """


Image = Literal["data", "train", "onnx", "register"]
"""The container images, by the role of what is installed in them (Dockerfile)."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a stage asks of a cluster."""

    image: Image = "train"
    cpu: int = 2
    memory_gib: int = 4
    gpu: bool = False
    several: bool = False
    """Whether several processes, a GPU each, can run it together (`components.processes`)."""


Role = Input | Output | Scratch


def stage_name(stage: Any) -> str:
    """The stage's name: its class name in snake case, which is also its package's name."""
    cls = stage if isinstance(stage, type) else type(stage)
    return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


def load_stage(name: str) -> type:
    """The declaration of the stage ``name``, from its package ``components.<name>``."""
    package = import_module(f"components.{name}")
    return next(
        value
        for value in vars(package).values()
        if dataclasses.is_dataclass(value)
        and isinstance(value, type)
        and value.__module__ == package.__name__
        and stage_name(value) == name
    )


def roles(stage: Any) -> dict[str, Role]:
    """The role of each path field, in order of declaration."""
    cls = stage if isinstance(stage, type) else type(stage)
    hints = get_type_hints(cls, include_extras=True)
    found = {}
    for field in dataclasses.fields(cls):
        if get_origin(hints[field.name]) is Annotated:
            found[field.name] = next(a for a in get_args(hints[field.name]) if isinstance(a, Role))
    return found


def paths(stage: Any, role: type) -> dict[str, Path]:
    """The paths of all fields with one role (`Input`, `Output` or `Scratch`) that are given."""
    named = {name: getattr(stage, name) for name, r in roles(stage).items() if isinstance(r, role)}
    return {name: path for name, path in named.items() if path is not None}


def parameters(stage: Any) -> dict[str, Any]:
    """The parameters, flattened: ``{"solver.lr": 0.001, ...}``; roles are left out."""
    skip = roles(stage)
    flat: dict[str, Any] = {}

    def visit(value: Any, name: str) -> None:
        if dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                if name or field.name not in skip:
                    prefix = f"{name}." if name else ""
                    visit(getattr(value, field.name), prefix + field.name)
        else:
            flat[name] = list(value) if isinstance(value, tuple) else value

    visit(stage, "")
    return flat
