"""List, fetch, check."""

from pathlib import Path

from components.dataset.dvc_version import DataFile, DataVersion, check_version, hash_files
from components.dataset.threaded import threaded
from components.errors import InputError
from components.fetch_data import FetchData
from components.fetch_data.remote import DvcRemote
from components.tracking import Run

THREADS = 16
"""Files fetched at the same time: a thread waits for the network most of the time."""


def run(stage: FetchData, run: Run) -> None:
    """Write the folder of the version that is asked for.

    Raises:
        InputError: the remote cannot be read, lacks a file, or holds a damaged one.
    """
    remote = DvcRemote(stage.remote, stage.endpoint_url)
    stage.data.mkdir(parents=True)
    listing = remote.listing(stage.md5, stage.data / "listing")
    fetch_files(remote, listing, stage.data)
    files = hash_files(stage.data)
    check_objects(remote, listing, files)
    check_version(stage.data, files, DataVersion(stage.md5, stage.nfiles, stage.size))


def fetch_files(remote: DvcRemote, listing: dict[str, str], folder: Path) -> None:
    """Write every file of the listing into the folder."""

    def fetch_one(name: str) -> None:
        remote.fetch(listing[name], folder / name, name)

    threaded(fetch_one, sorted(listing), "fetching data", THREADS)


def check_objects(remote: DvcRemote, listing: dict[str, str], files: dict[str, DataFile]) -> None:
    """Refuse files that are not what their name in the remote says.

    Raises:
        InputError: naming the first ones.
    """
    bad = [name for name in sorted(listing) if name in files and files[name].md5 != listing[name]]
    if bad:
        shown = ", ".join(f"{name} (object {listing[name]})" for name in bad[:5])
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise InputError(
            f"remote {remote.name}: {len(bad)} of {len(listing)} files are damaged there: {shown}"
            f"{more}. Remove these objects from the remote and `dvc push` again."
        )
