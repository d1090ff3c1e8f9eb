"""What a disk refuses: full, read-only, not permitted. Told with path, need and room."""

import errno
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def room_for(path: Path, need: int = 0) -> Iterator[None]:
    """Within, a disk that refuses to write ``path`` is told as the user's to mend.

    Args:
        path: what is written, a file or folder.
        need: its size in bytes, as far as it is known.

    Raises:
        InputError: naming the path, the reason, the need and the room.
    """
    try:
        yield
    except Exception as error:
        number = refusal(error)
        if number is None:
            raise
        raise InputError(describe(path, number, need)) from None


@contextmanager
def refusals_named() -> Iterator[None]:
    """Within, a disk that refuses anything at all is told as the user's to mend.

    Raises:
        InputError: naming the path, if the error knows it, and the reason.
    """
    try:
        yield
    except OSError as error:
        number = refusal(error)
        if number is None:
            raise
        raise InputError(describe(Path(error.filename or Path.cwd()), number)) from None


def refusal(error: BaseException) -> int | None:
    """The number of the disk's refusal, if this error is one.

    safetensors tells the operating system's number only in its text.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (found := re.search(r"\(os error (\d+)\)", str(error))):
        number = int(found[1])
    return number if number in REFUSALS else None


def describe(path: Path, number: int, need: int = 0) -> str:
    """The message for a path that cannot be written."""
    if number not in FULL:
        return (
            f"{path}: cannot be written ({os.strerror(number)}); make its folder writable, or "
            "give another one. What was there before is as it was"
        )
    needed = f"{need} bytes are needed" if need else "more is needed"
    return (
        f"{path}: cannot be written ({os.strerror(number)}): {needed}, {free(path)} are free on "
        "its disk. Make room and run it again: it goes on from its last state, and what was there "
        "before is as it was"
    )


def free(path: Path) -> int:
    """Bytes that are free where a path lies, or is to lie."""
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free


def write_tensors(path: Path, tensors: Mapping[str, "Tensor"], metadata: dict[str, str]) -> None:
    """Write a safetensors file of contiguous tensors on the CPU.

    Raises:
        InputError: the disk refuses; without room it is not even begun.
    """
    from safetensors.torch import save_file

    need = sum(tensor.nbytes for tensor in tensors.values())
    if free(path.parent) < need:
        raise InputError(describe(path, errno.ENOSPC, need))
    with room_for(path, need):
        save_file(dict(tensors), path, metadata=metadata)


def check_writable(path: Path) -> None:
    """Make the folder of a path, and refuse now what could not be written later.

    Raises:
        InputError: naming the path and the reason.
    """
    with room_for(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        path.unlink()
