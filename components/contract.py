"""A stage, declared once.

A stage is a frozen dataclass: its class name is the stage's name, its docstring the summary,
its fields are the inputs and outputs (``Annotated[Path, Input(...)]``) and the parameters
(everything else; nested dataclasses are groups). From that one declaration come the command
line (``python -m components.<stage>``), the check of params.yaml and the pipeline components.
"""

import argparse
import ast
import dataclasses
import inspect
import itertools
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, get_args, get_origin, get_type_hints

from components.errors import InputError

UNFINISHED = "unfinished"
Kind = Literal["Dataset", "Model", "Metrics", "Plot", "HTML", "Artifact"]


@dataclass(frozen=True)
class Input:
    """A file or folder that the stage reads."""

    kind: Kind


@dataclass(frozen=True)
class Output:
    """A file or folder that the stage writes; it appears whole or not at all."""

    kind: Kind


@dataclass(frozen=True)
class Scratch:
    """A folder of the stage's own that survives a crash: resumable state, caches, timings.

    It is no output: what lies there may differ between two runs of the same inputs. What lies
    in its subfolder ``unfinished`` is removed when the stage has succeeded.
    """


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a stage asks of a cluster."""

    cpu: int = 2
    memory_gib: int = 4
    gpu: int = 0


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

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and exiting."""
        raise InputError(message)


def command_line_parser(cls: type) -> Parser:
    """The command line of a stage: a flag a field, ``--group.field`` for nested groups.

    The flags are those that DVC writes for ``${section}``: lists as several values, booleans as
    ``--name`` and ``--no-name``.
    """
    parser = Parser(
        prog=f"python -m {cls.__module__}",
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
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
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


def arguments(section: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The flags for a section of params.yaml, written as DVC writes ``${section}``."""
    flags: list[str] = []
    for key, value in section.items():
        name = prefix + key
        if isinstance(value, Mapping):
            flags += arguments(value, f"{name}.")
        elif isinstance(value, bool):
            flags.append(f"--{name}" if value else f"--no-{name}")
        elif isinstance(value, list | tuple):
            flags += [f"--{name}", *map(str, value)] if value else []
        else:
            flags += [f"--{name}", str(value)]
    return flags


@contextmanager
def whole_outputs(stage: Any) -> Iterator[Any]:
    """The stage with its outputs redirected aside; they are renamed into place at the end.

    If the stage fails, nothing appears and what was there before stays.
    """
    final = paths(stage, Output)
    aside = {n: p.with_name(f".{p.name}.{os.getpid()}.partial") for n, p in final.items()}
    try:
        for path in aside.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        yield dataclasses.replace(stage, **aside)
        for name, path in aside.items():
            if not path.exists():
                raise RuntimeError(f"{stage_name(stage)} did not write its output '{name}'")
        for name, path in aside.items():
            sync(path)
            remove(final[name])
            path.rename(final[name])
    finally:
        for path in aside.values():
            remove(path)


def sync(path: Path) -> None:
    """Flush a file, or every file of a folder, to the disk."""
    for file in [path] if path.is_file() else (p for p in path.rglob("*") if p.is_file()):
        with file.open("rb") as handle:
            os.fsync(handle.fileno())


def remove(path: Path) -> None:
    """Remove a file or folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def check_inputs(stage: Any) -> None:
    """Refuse inputs that do not exist.

    Raises:
        InputError: naming the flag and the path.
    """
    for name, path in paths(stage, Input).items():
        if not path.exists():
            raise InputError(
                f"--{name} {path}: no such file or folder. Run the stage that writes it first "
                "(`dvc repro` runs all that are needed)."
            )


def main(name: str, argv: Sequence[str] | None = None) -> None:
    """Run the stage ``name`` from the command line: parse, check, track, run, publish."""
    try:
        stage = parse(load_stage(name), sys.argv[1:] if argv is None else argv)
        check_inputs(stage)
        from components.tracking import track

        with track(stage) as run, whole_outputs(stage) as aside:
            import_module(f"components.{name}.run").run(aside, run)
        for scratch in paths(stage, Scratch).values():
            remove(scratch / UNFINISHED)
    except InputError as error:
        sys.exit(f"{name}: {error}")
