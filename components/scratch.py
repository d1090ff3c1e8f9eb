"""The scratch folder of a stage: one user at a time, and clean after success."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from components.contract import UNFINISHED, Scratch, paths
from components.errors import InputError
from components.outputs import remove

LOCK = ".lock"


@contextmanager
def sole_use(stage: Any) -> Iterator[None]:
    """Hold the stage's scratch folder; after success, remove what only an unfinished stage needs.

    Raises:
        InputError: another run of the stage uses the folder.
    """
    folders = paths(stage, Scratch).values()
    with ExitStack() as stack:
        for folder in folders:
            stack.enter_context(locked(folder))
        yield
        for folder in folders:
            remove(folder / UNFINISHED)


def is_free(folder: Path) -> bool:
    """Whether nobody holds the folder's lock, as far as locks work there."""
    if not (folder / LOCK).exists():
        return True
    try:
        with (folder / LOCK).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock; it ends with the process, however that ends.

    Raises:
        InputError: another process holds it, or the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("w")
    except OSError as error:
        raise InputError(f"--scratch {folder}: cannot be written to ({error.strerror})") from None
    # A killed stage's worker processes live for seconds more; they must not hold its lock.
    os.register_at_fork(after_in_child=file.close)
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"--scratch {folder}: another run of this stage with the same inputs is at work "
                "here; wait until it ends, or give this one another folder"
            ) from None
        except OSError:
            pass  # a volume without locks
        yield
