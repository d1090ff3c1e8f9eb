"""A compiled pipeline: its name, and the parameters that a run of it may set."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.errors import InputError

_TYPES: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "NUMBER_INTEGER": (int,),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
}


@dataclass(frozen=True)
class Package:
    """What `fourstep compile` has written."""

    path: Path
    name: str
    inputs: Mapping[str, Mapping[str, Any]]
    """The pipeline's inputs by name: parameterType, and defaultValue or isOptional."""


def read_package(path: Path) -> Package:
    """Read the name and inputs of a compiled pipeline.

    Raises:
        InputError: the file cannot be read, or is no compiled pipeline.
    """
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(f"{path}: the server takes a name that ends in .yaml only")
    try:
        documents = list(yaml.safe_load_all(path.read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML ({error})") from None
    spec: Any = documents[0] if documents else None
    try:
        name = spec["pipelineInfo"]["name"]
        inputs = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    except (TypeError, KeyError, AttributeError):
        raise InputError(
            f"{path}: is no compiled pipeline; make one with `fourstep compile`"
        ) from None
    return Package(path=path, name=name, inputs=inputs)


def check_parameters(package: Package, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that the pipeline would not take.

    Raises:
        InputError: one is unknown, missing or of a wrong type. Names it.
    """
    for name, value in parameters.items():
        if name not in package.inputs:
            raise InputError(
                f"{package.path}: the pipeline has no parameter '{name}'"
                f"{_suggest(name, package.inputs)}"
            )
        kind = package.inputs[name].get("parameterType", "")
        if not _fits(value, kind):
            raise InputError(
                f"{package.path}: parameter '{name}' must be a {kind}, "
                f"but is a {type(value).__name__}"
            )
    for name, declared in package.inputs.items():
        given = name in parameters or "defaultValue" in declared or declared.get("isOptional")
        if not given:
            raise InputError(f"{package.path}: parameter '{name}' has no default; set it")


def _fits(value: Any, kind: str) -> bool:
    known = _TYPES.get(kind)
    if known is None:
        return True
    if isinstance(value, bool):
        return bool in known
    return isinstance(value, known)


def _suggest(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; it has {', '.join(sorted(known))}"
