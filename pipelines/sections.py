"""The sections of params.yaml, one for each use of a component, and their strict check.

Both pipelines read the same file, so that what they have in common has the same settings.
"""

import dataclasses
import json
import reprlib
from argparse import ArgumentTypeError
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

from components.command_line import arguments, parse
from components.contract import load_stage, parameters, roles
from components.errors import InputError
from components.kubeflow import json_object, whole_numbers
from models.parameters import AnchorParameters, InputParameters
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
    "train_joint": "train_joint",
    "evaluate": "evaluate",
    "export_onnx": "export_onnx",
    "validate_onnx": "validate_onnx",
    "register_model": "register_model",
}
"""The stage that each section of params.yaml sets, in the order of the pipelines."""

PIPELINES = {
    "four-step": (
        "validate_data",
        "init_backbone",
        "train_rpn",
        "generate_proposals",
        "train_detector",
        "finetune_rpn",
        "finetune_detector",
        "evaluate",
        "export_onnx",
        "validate_onnx",
        "register_model",
    ),
    "joint": (
        "validate_data",
        "init_backbone",
        "train_joint",
        "evaluate",
        "export_onnx",
        "validate_onnx",
        "register_model",
    ),
}
"""The sections that each pipeline has a use for."""

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
    "train_joint",
    "evaluate",
    "export_onnx",
    "validate_onnx",
    "register_model",
    "fetch_data",
    "check_data",
)
"""The uses of the stages, by the names that both dvc.yaml have, and Kubeflow's own two."""


def section_of(use: str) -> str:
    """The section that sets a use of a stage: generate_proposals that of generate_proposals_1."""
    return use.rstrip("_0123456789")


def stage_of(use: str) -> str:
    """The stage of a use. Those that no section sets have its name."""
    section = section_of(use)
    return STAGE_OF.get(section, section)


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


def check_inputs(executor_input: str) -> dict[str, Any]:
    """The stages of a Kubeflow task's parameters, one a section: Kubeflow has no file of them.

    Args:
        executor_input: Kubeflow's description of the task, JSON.

    Raises:
        InputError: as `check_sections`, or it is not such a description.
    """
    try:
        sections = whole_numbers(json_object(executor_input)["inputs"]["parameterValues"])
    except (ArgumentTypeError, KeyError, TypeError) as error:
        raise InputError(
            f"--executor_input: {error}; it is what Kubeflow gives a task as {{{{$}}}}"
        ) from None
    pipeline = PIPELINES["joint" if "train_joint" in sections else "four-step"]
    return check_sections(sections, "the run's inputs", needed=pipeline)


def check_sections(
    sections: Mapping[str, Any], source: str, needed: Iterable[str] = PIPELINES["four-step"]
) -> dict[str, Any]:
    """The stages that the sections give; those of joint training may be absent.

    Raises:
        InputError: a needed section is missing, or one is unknown; a key is unknown or its value
            impossible. Names the source, section, key and value.
    """
    for name in sections:
        if name not in STAGE_OF:
            raise InputError(f"{source}: unknown section '{name}'{suggest(str(name), STAGE_OF)}")
    for name in needed:
        if name not in sections:
            raise InputError(
                f"{source}: section '{name}' is missing; write `{name}: {{}}` at least"
            )
    stages = {}
    for name, section in sections.items():
        if not isinstance(section, Mapping | None):
            raise InputError(
                f"{source}: {name}: {shown(section)} is no section; write `{name}: {{}}` at least"
            )
        try:
            stages[name] = check_section(STAGE_OF[name], section or {})
        except InputError as error:
            raise InputError(f"{source}: {name}.{error}") from None
    try:
        check_together(stages)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    return stages


def check_together(stages: Mapping[str, Any]) -> None:
    """Refuse sections of which each is possible, but not together.

    Raises:
        InputError: naming both settings.
    """
    for part in ("rpn", "detector"):
        finetune = stages.get(f"finetune_{part}")
        if finetune and finetune.part != part:
            raise InputError(
                f"finetune_{part}.part: {finetune.part} is another step's; write `part: {part}`"
            )
    for name in ("train_rpn", "train_joint"):
        if name in stages:
            check_anchors(name, stages[name].anchors, stages["init_backbone"].input)
    check_deployed(stages)


def check_deployed(stages: Mapping[str, Any]) -> None:
    """Refuse an export that is not what was evaluated, or that cannot be.

    Raises:
        InputError: naming both settings.
    """
    one, other = (parameters(stages[name]) for name in ("evaluate", "export_onnx"))
    groups = ("scale", "proposals.", "detection.")
    for key in (k for k in one if k.startswith(groups) and one[k] != other[k]):
        raise InputError(
            f"export_onnx.{key}: {other[key]}, but evaluate.{key} is {one[key]}: another "
            "detector would be exported than evaluated; give both the same"
        )
    scales = stages["init_backbone"].input.scales
    if scales and not other["scale"]:
        raise InputError(
            "export_onnx.scale: 0 is the whole image pyramid of init_backbone.input.scales "
            f"{scales}, and an ONNX file is a detector at one scale; give export_onnx.scale and "
            f"evaluate.scale the same one of them, {scales[-1]} say (docs/scale.md says how to "
            "evaluate on the whole pyramid beside that)"
        )


def check_anchors(section: str, anchors: AnchorParameters, rule: InputParameters) -> None:
    """Refuse anchors none of which lies inside the largest image.

    Raises:
        InputError: naming the section and both settings.
    """
    largest = rule.levels[-1]
    sides = (largest.short_side, largest.long_side)
    if not (anchors.fit_inside(*sides) or anchors.fit_inside(*reversed(sides))):
        raise InputError(
            f"{section}.anchors: scales {anchors.scales} of base_size {anchors.base_size} are all "
            f"larger than the largest image, {sides[0]} x {sides[1]} pixels (init_backbone.input); "
            "give smaller scales or a larger input"
        )


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
    check_values(section, parameter_hints(cls))
    placeholders = [word for name in roles(cls) for word in (f"--{name}", "-")]
    try:
        return parse(cls, [*placeholders, *arguments(section)])
    except InputError as error:
        raise InputError(str(error).removeprefix("argument --")) from None


def check_values(section: Mapping[str, Any], known: Mapping[str, Any], prefix: str = "") -> None:
    """Refuse unknown keys, and values that are of another kind than the declaration's.

    Args:
        section: of params.yaml, or a group in it.
        known: the types of all parameters, by flat name.
        prefix: the group's flat name and a dot.

    Raises:
        InputError: beginning with the key.
    """
    groups = sorted({name.rpartition(".")[0] for name in known} - {""})
    for key, value in section.items():
        name = f"{prefix}{key}"
        if not isinstance(key, str) or "." in key:
            raise InputError(
                f"{name}: {key!r} is no plain name; write groups as `solver: {{lr: 1}}`"
            )
        if name in known:
            check_value(name, known[name], value)
        elif name not in groups:
            raise InputError(f"{name}: unknown{suggest(name, [*known, *groups])}")
        elif isinstance(value, Mapping):
            check_values(value, known, f"{name}.")
        else:
            raise InputError(
                f"{name}: {shown(value)} is no group of settings; write them below it, `key: value`"
            )


def check_value(name: str, hint: Any, value: Any) -> None:
    """Refuse a value of another kind than the parameter's; empty ones are left to `arguments`.

    Raises:
        InputError: beginning with the name.
    """
    if value is None or value in ("", []):
        return
    several = get_origin(hint) is tuple
    kind = get_args(hint)[0] if several else hint
    for each in value if several and isinstance(value, list) else [value]:
        if not fits(kind, each):
            wanted = KINDS.get(kind) or f"one of {', '.join(map(str, get_args(kind)))}"
            raise InputError(f"{name}: {shown(value)} is not allowed, it must be {wanted}")
        if kind is str and str(each).startswith("-"):
            raise InputError(
                f"{name}: {shown(value)} begins with '-', as flags do; give another name"
            )


KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text; quote it"}


def fits(kind: Any, value: Any) -> bool:
    """Whether a flag of this type takes the value; 1e-3 is text to YAML 1.1, and a number here."""
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if value is None or isinstance(value, list | Mapping):
        return False
    if kind not in (int, float):
        return get_origin(kind) is not Literal or value in get_args(kind)
    try:
        kind(str(value))
    except ValueError:
        return False
    return True


def shown(value: Any) -> str:
    """A value in a message: of a long one, its beginning."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 100
    return short.repr(value)


def parameter_hints(cls: type) -> dict[str, Any]:
    """The types of all parameters of a stage, by flat name such as ``solver.lr``."""
    found: dict[str, Any] = {}
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if field.name in roles(cls):
            continue
        if dataclasses.is_dataclass(hints[field.name]):
            nested = parameter_hints(hints[field.name])
            found |= {f"{field.name}.{name}": hint for name, hint in nested.items()}
        else:
            found[field.name] = hints[field.name]
    return found


def flatten(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
