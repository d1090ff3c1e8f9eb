"""The command line of a stage, made from its declaration."""

import argparse
import ast
import dataclasses
import inspect
import itertools
import re
import textwrap
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints

from components.contract import Input, parameters, roles
from components.errors import InputError


@cache
def field_docs(cls: type) -> dict[str, str]:
    """The docstring under each field of a dataclass, by field name."""
    docs: dict[str, str] = {}
    for base in reversed([c for c in cls.__mro__ if dataclasses.is_dataclass(c)]):
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0].body  # type: ignore[attr-defined]
        for node, after in itertools.pairwise(body):
            if (
                isinstance(node, ast.AnnAssign)
                and isinstance(node.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
            ):
                docs[node.target.id] = inspect.cleandoc(str(after.value.value)).replace("\n", " ")
    return docs


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are `InputError`s."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # argparse takes -1 for a value, but -1e-05 and -inf for flags.
        self._negative_number_matcher = re.compile(r"-(\d|\.\d|inf|nan)")

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and exiting."""
        raise InputError(message)


def command_line_parser(cls: type) -> Parser:
    """The command line of a stage: a flag a field, ``--group.field`` for nested groups.

    The flags are those that DVC writes for ``${section}``: lists as several values, booleans as
    ``--name`` and ``--no-name``.
    """
    parser = Parser(
        usage=f"python -m {cls.__module__} --FLAG VALUE ...",
        description=inspect.cleandoc(cls.__doc__ or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_flags(parser, cls, prefix="", defaults=None)
    return parser


def add_flags(
    parser: argparse.ArgumentParser, cls: type, *, prefix: str, defaults: Any | None
) -> None:
    """Add one flag for each field of the dataclass ``cls``, nested groups included."""
    hints = get_type_hints(cls, include_extras=True)
    docs = field_docs(cls)
    found_roles = roles(cls)
    paths_group = parser.add_argument_group("inputs and outputs") if found_roles else parser
    group = parser.add_argument_group(prefix.rstrip(".") or "parameters", summary(cls, prefix))
    for field in dataclasses.fields(cls):
        name = prefix + field.name
        default = field_default(field) if defaults is None else getattr(defaults, field.name)
        if dataclasses.is_dataclass(hints[field.name]):
            add_flags(parser, hints[field.name], prefix=f"{name}.", defaults=default)
        elif field.name in found_roles:
            role = type(found_roles[field.name]).__name__.lower()
            required = default is dataclasses.MISSING
            text = help_text(f"({role}) {docs.get(field.name, '')}", dataclasses.MISSING)
            paths_group.add_argument(
                f"--{name}", type=Path, required=required, metavar="PATH", help=text
            )
        else:
            required = default is dataclasses.MISSING
            group.add_argument(
                f"--{name}",
                required=required,
                default=argparse.SUPPRESS,
                help=help_text(docs.get(field.name, ""), default),
                **value_arguments(hints[field.name]),
            )


def summary(cls: type, prefix: str) -> str | None:
    """The first line of a group's docstring; the stage's own is printed at the top already."""
    return inspect.cleandoc(cls.__doc__ or "").split("\n")[0] if prefix else None


def field_default(field: dataclasses.Field[Any]) -> Any:
    """A field's default, or MISSING."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def help_text(doc: str, default: Any) -> str:
    """A flag's help: its doc and default, with argparse's percent signs escaped."""
    if default is dataclasses.MISSING:
        return doc.replace("%", "%%")
    shown = " ".join(map(str, default)) or "none" if isinstance(default, tuple) else default
    return f"{doc} (default: {shown})".replace("%", "%%")


def value_arguments(hint: Any) -> dict[str, Any]:
    """argparse's keyword arguments for a parameter of type ``hint``."""
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint), "type": type(get_args(hint)[0])}
    if get_origin(hint) is tuple:
        return {"nargs": "+", "type": get_args(hint)[0], "metavar": "N"}
    return {"type": hint, "metavar": hint.__name__.upper()}


def build(cls: type, values: Mapping[str, Any], prefix: str = "") -> Any:
    """A stage (or group) from flat values such as ``{"solver.lr": 0.01}``; absent ones default.

    Raises:
        InputError: a value that the dataclass refuses, with the key's full name.
    """
    hints = get_type_hints(cls)
    given: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        name = prefix + field.name
        if dataclasses.is_dataclass(hints[field.name]):
            nested = {k: v for k, v in values.items() if k.startswith(f"{name}.")}
            if nested:
                base = parameters_of(field_default(field))
                merged = {f"{name}.{k}": v for k, v in base.items()} | nested
                given[field.name] = build(hints[field.name], merged, f"{name}.")
        elif name in values:
            value = values[name]
            given[field.name] = tuple(value) if isinstance(value, list) else value
    try:
        return cls(**given)
    except ValueError as error:
        raise InputError(f"{prefix}{error}") from None


def parameters_of(group: Any) -> dict[str, Any]:
    """A group's flat parameters, or none if it has no default."""
    return {} if group is dataclasses.MISSING else parameters(group)


def parse(cls: type, arguments: Sequence[str]) -> Any:
    """A stage from its command line.

    Raises:
        InputError: an unknown flag, or a value that the declaration refuses.
    """
    known = vars(command_line_parser(cls).parse_args(arguments))
    return build(cls, {k: v for k, v in known.items() if v is not None})


def path_arguments(cls: type, inputs: Mapping[str, Path], folder: Path) -> list[str]:
    """The flags of a stage's paths: the inputs given, and all that it writes, by name in a folder.

    Inputs that the stage does not have are left out.
    """
    found: list[str] = []
    for name, role in roles(cls).items():
        if not isinstance(role, Input):
            found += [f"--{name}", str(folder / name)]
        elif name in inputs:
            found += [f"--{name}", str(inputs[name])]
    return found


def arguments(section: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The flags for a section of params.yaml, written as DVC writes ``${section}``.

    Raises:
        InputError: a value is empty.
    """
    flags: list[str] = []
    for key, value in section.items():
        name = prefix + key
        if value is None or value in ("", [], ()):
            raise InputError(f"{name}: is empty; leave the key out to have the default")
        if isinstance(value, Mapping):
            flags += arguments(value, f"{name}.")
        elif isinstance(value, bool):
            flags.append(f"--{name}" if value else f"--no-{name}")
        elif isinstance(value, list | tuple):
            flags += [f"--{name}", *map(str, value)]
        else:
            flags += [f"--{name}", str(value)]
    return flags
