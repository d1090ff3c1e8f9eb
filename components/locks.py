"""Locks that end with the process that holds them, however it ends: they say who is at work where.

The number of a process does not say it. A killed process keeps its number until its parent takes
note of its end, in a container often for ever. Later another process gets the number, and in pods
the numbers are always about the same.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from weakref import WeakSet

NAME = ".lock"
"""The lock file of a folder."""
_OPEN: "WeakSet[FileIO]" = WeakSet()


@contextmanager
def lock(path: Path) -> Iterator[bool | None]:
    """Hold the lock of a file within the block, if it is free; the file is made if need be.

    Yields:
        Whether this process holds it: True, or False as long as another one does. None if the
        volume has no locks.

    Raises:
        OSError: the file cannot be opened for writing.
    """
    while True:
        with _opened(path, "ab") as file:
            ours = _try(file, fcntl.LOCK_EX)
            if ours and not _lies_at(file, path):
                continue  # the one before removed it
            try:
                yield ours
            finally:
                # By hand: a process that is just being started may have the file for a moment.
                if ours and not file.closed:
                    fcntl.flock(file, fcntl.LOCK_UN)
            return


def is_locked(path: Path) -> bool | None:
    """Whether a living process holds the lock of a file; None if the volume has no locks.

    Raises:
        OSError: the file cannot be read.
    """
    with _opened(path, "rb") as file:
        free = _try(file, fcntl.LOCK_SH)
    return None if free is None else not free


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[FileIO]:
    with FileIO(path, mode) as file:
        _OPEN.add(file)
        yield file


def _try(file: FileIO, kind: int) -> bool | None:
    """Whether a file's lock was free; None if the volume has no locks."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _lies_at(file: FileIO, path: Path) -> bool:
    """Whether an open file still has this path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _close_all() -> None:
    for file in list(_OPEN):
        file.close()


# A killed stage's worker processes live for seconds more; they must not hold its locks.
os.register_at_fork(after_in_child=_close_all)
