"""Outputs that appear whole or not at all."""

import dataclasses
import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.contract import Output, paths, stage_name
from components.disk import check_writable, room_for

PARTIAL = ".partial"
"""The suffix of what is still being written."""


@contextmanager
def whole_outputs(stage: Any) -> Iterator[Any]:
    """The stage with its outputs redirected aside; they are renamed into place at the end.

    If the stage fails, nothing appears and what was there before stays.

    Raises:
        InputError: an output cannot be written; found out before the body runs, if its folder is
            read-only.
    """
    final = paths(stage, Output)
    aside = {n: p.with_name(f".{p.name}.{os.getpid()}{PARTIAL}") for n, p in final.items()}
    for path in final.values():
        remove_left_over(path)
    try:
        for path in aside.values():
            check_writable(path)
        yield dataclasses.replace(stage, **aside)
        for name, path in aside.items():
            if not path.exists():
                raise RuntimeError(f"{stage_name(stage)} did not write its output '{name}'")
        for name, path in aside.items():
            with room_for(final[name]):
                sync(path)
            remove(final[name])
            path.rename(final[name])
    finally:
        for path in aside.values():
            remove(path)


def remove_left_over(path: Path) -> None:
    """Remove what killed runs left aside for an output; what a living one writes stays."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*{PARTIAL}"):
        owner = left.name.split(".")[-2]
        if owner.isdecimal() and not is_alive(int(owner)):
            remove(left)


def is_alive(process: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


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
