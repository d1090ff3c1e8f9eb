"""A DVC remote, read with DVC's own libraries but without project, cache or configuration.

So it needs no git, no home folder and no second copy of the data.
"""

import errno
import hashlib
import json
import re
from pathlib import Path, PurePosixPath
from typing import Any

from components.errors import InputError
from components.redact import mask_passwords

REFUSED = {401, 403}
"""HTTP's states of missing permission."""
NO_CREDENTIALS = {"NoCredentialsError", "DefaultCredentialsError", "AuthError", "PermissionDenied"}
"""What the libraries of the stores raise without (right) credentials."""


class DvcRemote:
    """The objects of a DVC remote."""

    def __init__(self, url: str, endpoint_url: str = "") -> None:
        """Open it; nothing is contacted yet.

        Raises:
            InputError: no such kind of remote, or its package is not installed.
        """
        from dvc.config import ConfigError
        from dvc.data_cloud import Remote
        from dvc.fs import RemoteMissingDepsError, get_cloud_fs

        self.name = masked(url)
        options = {"endpointurl": endpoint_url} if endpoint_url else {}
        try:
            file_system, config, path = get_cloud_fs(None, url=url, **options)
            self._store: Any = Remote("data", path, file_system(**config), **config).odb
        except ConfigError as error:
            raise InputError(f"remote {self.name}: {masked(str(error))}") from None
        except (ImportError, RemoteMissingDepsError) as error:
            lacking = ", ".join(getattr(error, "missing_deps", []))
            raise InputError(
                f"remote {self.name}: {error}{lacking and ': '}{lacking}. Add the package to the "
                "requirements of the image for data and build it again."
            ) from None

    def listing(self, md5: str, aside: Path) -> dict[str, str]:
        """The MD5 of each file of a folder's version, by path below the folder.

        Args:
            md5: the folder's digest.
            aside: a path for a short-lived file.

        Raises:
            InputError: the remote cannot be read, lacks this version, or holds it damaged.
        """
        self.fetch(md5, aside, f"version {md5} of the data")
        content = aside.read_bytes()
        aside.unlink()
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5.removesuffix(".dir"):
            raise InputError(
                f"remote {self.name}: what it holds as version {md5} is something else (damaged, "
                "or an answer of a login page). `dvc push` the version again."
            )
        listed = listed_files(content)
        if listed is None:
            raise InputError(
                f"remote {self.name}: version {md5} lists files outside of its folder, or is no "
                "listing of DVC's; nothing is fetched. `dvc add` and `dvc push` the data again."
            )
        return listed

    def fetch(self, md5: str, path: Path, what: str) -> None:
        """Write the object with this digest to a file; ``what`` names it in errors.

        Raises:
            InputError: it is not there, is not readable, or the disk is full.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._store.fs.get_file(self._store.oid_to_path(md5), str(path))
        except Exception as error:  # noqa: BLE001 (each kind of store has errors of its own)
            raise InputError(f"remote {self.name}: {explained(error, md5, what)}") from None


def listed_files(content: bytes) -> dict[str, str] | None:
    """The MD5 of each file by path, as DVC lists a folder; None if anything in it is not right.

    The version's digest vouches for the listing, but MD5 is no proof against a forger: a name
    must not lead out of the folder, nor a digest, which is part of a path, out of the remote.
    """
    try:
        listed = {entry["relpath"]: entry["md5"] for entry in json.loads(content)}
        right = all(is_inside(n) and re.fullmatch("[0-9a-f]{32}", d) for n, d in listed.items())
    except (ValueError, TypeError, KeyError):
        return None
    return listed if right else None


def is_inside(name: str) -> bool:
    """Whether a path of a listing stays in the folder: relative, and no part of it is ``..``."""
    parts = PurePosixPath(name).parts
    return bool(parts) and parts[0] != "/" and ".." not in parts and "\0" not in name


def explained(error: Exception, md5: str, what: str) -> str:
    """What went wrong with the remote, and the remedy."""
    said = masked(f"{type(error).__name__}: {error}")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left for {what}; give the task more disk"
    if isinstance(error, FileNotFoundError):
        return (
            f"{what} is not there (object {md5}). Is the address right? Then `dvc push` the "
            "version from where it was added."
        )
    status = getattr(error, "status", getattr(error, "code", None))
    named = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, PermissionError) or status in REFUSED or named & NO_CREDENTIALS:
        return (
            f"no permission to read {what} ({said}). Give the task's pod credentials that may "
            "read the remote, by a Secret or its service account."
        )
    return (
        f"{what} cannot be read ({said}). Can the cluster reach the remote? The address, the "
        "name service, network policies and proxy are the places to look at."
    )


def masked(text: str) -> str:
    """The text with passwords and signatures of URLs replaced by ``***``."""
    return re.sub(r"(://[^\s?]*)\?[^\s'\",)]*", r"\1?***", mask_passwords(text))
