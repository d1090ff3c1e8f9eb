"""The sections of params.yaml, one for each use of a component, and their strict check."""

import dataclasses
import json
from argparse import ArgumentTypeError
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from components.command_line import arguments, field_default, parse
from components.contract import load_stage, roles
from components.errors import InputError
from components.kubeflow import json_object, whole_numbers
from pipelines.suggest import suggest
from pipelines.yaml_file import read_yaml

STAGE_OF = {
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
"""The stage that each section of params.yaml sets, in the order of the pipeline."""

STAGES = sorted({*STAGE_OF.values(), "fetch_data", "check_data"})
"""All stages; the last two are Kubeflow's only, where no DVC brings and checks the data."""

TASKS = (
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
"""The uses of the stages, by the names that dvc.yaml has, and Kubeflow's own two."""


def check_params(path: Path) -> dict[str, Any]:
    """The stages that a params.yaml gives, by section; all of it is checked.

    Raises:
        InputError: as `check_sections`, or the file is no mapping.
    """
    return check_sections(read_yaml(path), str(path))


def read_sections(params: Path, settings: Sequence[str] = ()) -> dict[str, Any]:
    """The sections of a params.yaml, with single settings replaced; all is checked.

    Raises:
        InputError: as `check_params` and `with_settings`.
    """
    sections = read_yaml(params)
    check_sections(sections, str(params))
    changed = with_settings(sections, settings)
    check_sections(changed, "--set")
    return changed


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
        if name not in STAGE_OF:
            raise InputError(f"{source}: unknown section '{name}'{suggest(name, STAGE_OF)}")
    for name in STAGE_OF:
        if name not in sections:
            raise InputError(
                f"{source}: section '{name}' is missing; write `{name}: {{}}` at least"
            )
    stages = {}
    for name, section in sections.items():
        try:
            stages[name] = check_section(STAGE_OF[name], section or {})
        except InputError as error:
            raise InputError(f"{source}: {name}.{error}") from None
    return stages


def with_settings(sections: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """The sections with single values replaced, given as ``train_rpn.solver.lr=0.002`` (YAML).

    Raises:
        InputError: a setting has no key or no value, or goes into what is no group.
    """
    # YAML's anchors make sections share a group: a change of one is none of the other.
    changed: dict[str, Any] = json.loads(json.dumps(sections))
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
            place[last] = number_or_yaml(text)
        except yaml.YAMLError:
            raise InputError(f"--set {setting}: {text!r} is no YAML value") from None
    return changed


def number_or_yaml(text: str) -> Any:
    """The value of a YAML text; 2e-3 is a number, too, though YAML 1.1 says otherwise."""
    value = yaml.safe_load(text)
    if isinstance(value, str):
        with suppress(ValueError):
            return float(value)
    return value


def check_section(stage: str, section: Mapping[str, Any]) -> Any:
    """The stage of one section, its paths left as placeholders.

    Raises:
        InputError: beginning with the key.
    """
    cls = load_stage(stage)
    known = parameter_names(cls)
    for key in flatten(section):
        if key not in known:
            raise InputError(f"{key}: unknown{suggest(key, known)}")
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
