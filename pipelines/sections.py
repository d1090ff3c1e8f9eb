"""The sections of params.yaml, one for each use of a component, and their strict check."""

import dataclasses
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from components.command_line import arguments, field_default, parse
from components.contract import load_stage, roles
from components.errors import InputError

COMPONENTS = {
    "validate_data": "validate_data",
    "init_backbone": "init_backbone",
    "train_rpn": "train_rpn",
    "generate_proposals": "generate_proposals",
    "train_detector": "train_detector",
    "finetune_rpn": "finetune",
    "finetune_detector": "finetune",
    "evaluate": "evaluate",
    "export_onnx": "export_onnx",
    "validate_onnx": "validate_onnx",
    "register_model": "register_model",
}
"""The component behind each section, in the order of the pipeline."""


def check_params(path: Path) -> dict[str, Any]:
    """The stages that a params.yaml gives, by section; all of it is checked.

    Raises:
        InputError: the file is no mapping of sections; a section is missing or unknown; a key is
            unknown or its value impossible. Names the file, section, key and value.
    """
    sections = read_sections(path)
    for name in sections:
        if name not in COMPONENTS:
            raise InputError(f"{path}: unknown section '{name}'{_suggest(name, COMPONENTS)}")
    for name in COMPONENTS:
        if name not in sections:
            raise InputError(f"{path}: section '{name}' is missing; write `{name}: {{}}` at least")
    stages = {}
    for name, section in sections.items():
        try:
            stages[name] = check_section(COMPONENTS[name], section or {})
        except InputError as error:
            raise InputError(f"{path}: {name}.{error}") from None
    return stages


def read_sections(path: Path) -> dict[str, Any]:
    """The sections of a YAML file.

    Raises:
        InputError: it cannot be read or is no mapping.
    """
    try:
        value = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as YAML ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: must hold sections, such as `train_rpn:`")
    return value


def check_section(component: str, section: Mapping[str, Any]) -> Any:
    """The stage of one section, its paths left as placeholders.

    Raises:
        InputError: beginning with the key.
    """
    cls = load_stage(component)
    known = parameter_names(cls)
    for key, value in flatten(section).items():
        if key not in known:
            raise InputError(f"{key}: unknown{_suggest(key, known)}")
        if value is None or value == []:
            raise InputError(f"{key}: is empty; leave the key out to have the default")
    placeholders = [word for name in roles(cls) for word in (f"--{name}", "-")]
    try:
        return parse(cls, [*placeholders, *arguments(section)])
    except InputError as error:
        raise InputError(str(error).removeprefix("argument --")) from None


def parameter_names(cls: type) -> list[str]:
    """The flat names of all parameters of a stage, such as ``solver.lr``."""
    names: list[str] = []
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if field.name in roles(cls):
            continue
        if dataclasses.is_dataclass(hints[field.name]):
            nested = parameter_names(type(field_default(field)))
            names += [f"{field.name}.{name}" for name in nested]
        else:
            names.append(field.name)
    return names


def flatten(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _suggest(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known are {', '.join(known)}"
