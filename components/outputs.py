"""Outputs that appear whole or not at all."""

import dataclasses
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.contract import Output, paths, stage_name


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
