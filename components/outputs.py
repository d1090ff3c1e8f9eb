"""Outputs that appear whole or not at all."""

import dataclasses
import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

from components import locks
from components.contract import Output, paths, stage_name
from components.disk import room_for

PARTIAL = ".partial"
"""The suffix of a folder with what is still being written."""


@contextmanager
def whole_outputs(stage: Any) -> Iterator[Any]:
    """The stage with its outputs redirected aside; they are renamed into place at the end.

    If the stage fails, nothing appears and what was there before stays.

    Raises:
        InputError: an output cannot be written; found out before the body runs, if its folder is
            read-only.
    """
    final = paths(stage, Output)
    for path in final.values():
        remove_left_over(path)
    with ExitStack() as stack:
        aside = {name: stack.enter_context(aside_of(path)) for name, path in final.items()}
        yield dataclasses.replace(stage, **aside)
        for name, path in aside.items():
            if not path.exists():
                raise RuntimeError(f"{stage_name(stage)} did not write its output '{name}'")
        for name, path in aside.items():
            with room_for(final[name]):
                sync(path)
            remove(final[name])
            path.rename(final[name])


@contextmanager
def aside_of(path: Path) -> Iterator[Path]:
    """A path of the same name in a new folder beside, which is removed at the end.

    The folder's lock says that its owner lives.

    Raises:
        InputError: nothing can be written there.
    """
    with ExitStack() as stack:
        with room_for(path):
            folder = new_folder(path, stack)
        yield folder / path.name


def new_folder(path: Path, stack: ExitStack) -> Path:
    """Make a folder beside a path, locked and kept until the stack ends."""
    while True:
        folder = path.with_name(f".{path.name}.{token_hex(4)}{PARTIAL}")
        folder.mkdir(parents=True)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        with suppress(FileNotFoundError):
            if stack.enter_context(locks.lock(folder / locks.NAME)) is not False:
                return folder
        # Before it was locked, a run that started just then took it for a killed one's.


def remove_left_over(path: Path) -> None:
    """Remove what killed runs left aside for an output; what a living one writes stays.

    On a volume without locks nobody can tell them apart, and all stays.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*{PARTIAL}"):
        with suppress(OSError), locks.lock(left / locks.NAME) as ours:
            if ours:
                shutil.rmtree(left, ignore_errors=True)


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
