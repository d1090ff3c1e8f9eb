"""The sections of params.yaml, one for each use of a component, and their strict check."""

import copy
import dataclasses
import difflib
from argparse import ArgumentTypeError
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from components.command_line import arguments, field_default, parse
from components.contract import load_stage, roles
from components.errors import InputError
from components.kubeflow import json_object, whole_numbers

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

STAGES = (
    "check_params",
    "validate_data",
    "init_backbone",
    "train_rpn",
    "generate_proposals_1",
    "train_detector",
    "finetune_rpn",
    "generate_proposals_3",
    "finetune_detector",
    "evaluate",
    "export_onnx",
    "validate_onnx",
    "register_model",
    "fetch_data",
    "check_data",
)
"""The names of all tasks: those of dvc.yaml, and the two that only Kubeflow has."""


def check_params(path: Path) -> dict[str, Any]:
    """The stages that a params.yaml gives, by section; all of it is checked.

    Raises:
        InputError: as `check_sections`, or the file is no mapping.
    """
    return check_sections(read_yaml(path), str(path))


def check_json(sections: Iterable[str]) -> dict[str, Any]:
    """The stages of sections given as ``NAME={...}``, in JSON: Kubeflow has no file of them.

    Raises:
        InputError: as `check_sections`, or a section is no JSON object.
    """
    found = {}
    for section in sections:
        name, _, text = section.partition("=")
        try:
            found[name] = whole_numbers(json_object(text))
        except (ArgumentTypeError, InputError) as error:
            raise InputError(f"{name}: {error}") from None
    return check_sections(found, "the run's inputs")


def check_sections(sections: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The stages that the sections give.

    Raises:
        InputError: a section is missing or unknown; a key is unknown or its value impossible.
            Names the source, section, key and value.
    """
    for name in sections:
        if name not in COMPONENTS:
            raise InputError(f"{source}: unknown section '{name}'{_suggest(name, COMPONENTS)}")
    for name in COMPONENTS:
        if name not in sections:
            raise InputError(
                f"{source}: section '{name}' is missing; write `{name}: {{}}` at least"
            )
    stages = {}
    for name, section in sections.items():
        try:
            stages[name] = check_section(COMPONENTS[name], section or {})
        except InputError as error:
            raise InputError(f"{source}: {name}.{error}") from None
    return stages


def with_settings(sections: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """The sections with single values replaced, given as ``train_rpn.solver.lr=0.002`` (YAML).

    Raises:
        InputError: a setting has no key or no value, or goes into what is no group.
    """
    changed = copy.deepcopy(dict(sections))
    for setting in settings:
        key, equals, text = setting.partition("=")
        *groups, last = key.split(".")
        if not (groups and last and equals and text):
            raise InputError(f"--set {setting}: is not like train_rpn.solver.lr=0.002")
        place = changed
        for group in groups:
            place = place.setdefault(group, {})
            if not isinstance(place, dict):
                raise InputError(f"--set {setting}: '{group}' is a value and has no keys")
        try:
            place[last] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise InputError(f"--set {setting}: {text!r} is no YAML value") from None
    return changed


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        InputError: it cannot be read or is no mapping.
    """
    try:
        value = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as YAML ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: must hold a mapping, such as `train_rpn:` with its settings")
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
