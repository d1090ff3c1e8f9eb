"""The scratch folder of a stage: one user at a time, and clean after success."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from components import locks
from components.contract import UNFINISHED, Scratch, paths
from components.errors import InputError
from components.outputs import remove

NAME = "FOURSTEP_SCRATCH_NAME"
"""The name of a Kubeflow task's own folder, for the processes that torchrun starts."""


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
    """Whether nobody holds the folder's lock; on a volume without locks, nobody is known to."""
    try:
        return not locks.is_locked(folder / locks.NAME)
    except FileNotFoundError:
        return True
    except OSError:
        return False


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock; on a volume without locks, just go on.

    Raises:
        InputError: another process holds it, or the folder cannot be written to.
    """
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            ours = stack.enter_context(locks.lock(folder / locks.NAME))
        except OSError as error:
            message = f"--scratch {folder}: cannot be written to ({error.strerror})"
            raise InputError(message) from None
        if ours is False:
            raise InputError(
                f"--scratch {folder}: another run of this stage with the same inputs is at work "
                "here; wait until it ends, or give this one another folder"
            )
        yield
