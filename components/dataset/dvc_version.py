"""The version of a data folder as DVC computes it, without DVC.

DVC (3.x, ``hash: md5``) names a folder by the MD5 of its listing, the JSON list of each file's
MD5 and path, and ".dir". Which files that covers is told by `list_files`.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components.dataset.threaded import threaded
from components.errors import InputError


@dataclass(frozen=True)
class DataFile:
    """A file of a data folder: MD5 in hexadecimal, size in bytes."""

    md5: str
    size: int


@dataclass(frozen=True)
class DataVersion:
    """What data.dvc says of a folder: DVC's digest, number of files, size in bytes."""

    md5: str
    nfiles: int = 0
    size: int = 0

    @classmethod
    def of(cls, files: Mapping[str, DataFile]) -> "DataVersion":
        """The version of a folder with these files, by path below the folder."""
        listing = [{"md5": files[name].md5, "relpath": name} for name in sorted(files)]
        digest = hashlib.md5(json.dumps(listing).encode(), usedforsecurity=False).hexdigest()
        return cls(f"{digest}.dir", len(files), sum(file.size for file in files.values()))

    def __str__(self) -> str:
        counts = f" ({self.nfiles} files, {self.size} bytes)" if self.nfiles or self.size else ""
        return self.md5 + counts


def check_digest(md5: str) -> None:
    """Refuse what is not the digest of a folder in data.dvc.

    Raises:
        ValueError: with the value and the remedy.
    """
    if not re.fullmatch(r"[0-9a-f]{32}\.dir", md5):
        raise ValueError(
            f"md5: {md5!r} is not the version of a folder; give the md5 of data.dvc, "
            "32 hexadecimal digits and '.dir'"
        )


def check_version(folder: Path, files: Mapping[str, DataFile], expected: DataVersion) -> None:
    """Refuse a folder that is not the version of data.dvc; the digest alone decides.

    Raises:
        InputError: with both versions and the remedy.
    """
    found = DataVersion.of(files)
    if found.md5 != expected.md5:
        named = str(expected) if expected.nfiles else expected.md5
        raise InputError(
            f"{folder}: this is version {found.md5} ({found.nfiles} files, {found.size} bytes), "
            f"but data.dvc names {named}. Mount the version that data.dvc names; or, if "
            "this folder is the right one, run `dvc add data` on it, commit data.dvc and compile "
            "again. Files that the project's .dvcignore leaves out must not lie in the folder, "
            "and data.dvc needs the line `hash: md5` (DVC 2 wrote another digest; `dvc add data` "
            "renews it)."
        )


def hash_files(folder: Path) -> dict[str, DataFile]:
    """Each file of the folder that DVC covers, by its path below the folder.

    Raises:
        InputError: a file that cannot be read, or one that DVC refuses.
    """

    def hash_one(name: str) -> DataFile:
        return hash_file(folder / name)

    names = list_files(folder)
    return dict(zip(names, threaded(hash_one, names, "hashing data"), strict=True))


def hash_file(path: Path) -> DataFile:
    """The MD5 and size of a file; of a link, those of the file it points to.

    Raises:
        InputError: a broken link, a device or pipe, a file without permission.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path}: neither a file nor a folder; DVC cannot hold it, remove it")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    except FileNotFoundError:
        raise InputError(f"{path}: a link to a file that is not there; copy the file") from None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read by user {os.getuid()} ({error.strerror})"
        ) from None
    return DataFile(digest.hexdigest(), status.st_size)


def list_files(folder: Path) -> list[str]:
    """The paths below the folder that DVC covers, sorted.

    As `dvc add` does it: empty folders, links to folders, folders without permission,
    ``.git``, ``.hg/``, ``.dvc/`` and folders that are DVC projects of their own are left out.

    Raises:
        InputError: a .dvcignore, which DVC refuses here; a DVC project in place of a data folder.
    """
    if (folder / ".dvc").exists():
        raise InputError(f"{folder}: a DVC project (it holds .dvc); give the data folder in it")
    names = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not left_out(Path(root, name))]
        if ".dvcignore" in files:
            raise InputError(f"{root}/.dvcignore: DVC allows none in a data folder; remove it")
        below = Path(root).relative_to(folder)
        names += [(below / name).as_posix() for name in files if name != ".git"]
    return sorted(names)


def left_out(folder: Path) -> bool:
    """Whether DVC passes over a folder inside a data folder."""
    return folder.name in {".git", ".hg", ".dvc"} or os.path.lexists(folder / ".dvc")
