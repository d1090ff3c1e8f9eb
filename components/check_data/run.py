"""Hash, compare, write."""

from dataclasses import asdict

from components.check_data import CheckData
from components.dataset.dvc_version import DataVersion, check_version, hash_files
from components.errors import InputError
from components.metrics import write_metrics
from components.tracking import Run


def run(stage: CheckData, run: Run) -> None:
    """Write the version if it is the expected one.

    Raises:
        InputError: another version, or a folder that DVC refuses.
    """
    if not stage.data.is_dir():
        raise InputError(f"--data {stage.data}: not a folder")
    files = hash_files(stage.data)
    check_version(stage.data, files, DataVersion(stage.md5, stage.nfiles, stage.size))
    write_metrics(stage.version, asdict(DataVersion.of(files)))
