"""Check that a data folder is the version that data.dvc names."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from components.contract import Input, Output, Resources
from components.dataset.dvc_version import check_digest


@dataclass(frozen=True, kw_only=True)
class CheckData:
    """Compute DVC's digest of a data folder and compare it with that of data.dvc.

    With `dvc repro` DVC does this itself; on a cluster the folder is mounted or fetched. Every
    file is read once. DVC is not needed.
    """

    resources: ClassVar[Resources] = Resources(image="data", cpu=2, memory_gib=2)

    data: Annotated[Path, Input("Dataset")]
    """Folder of images and annotations; it is never written to."""
    version: Annotated[Path, Output("Artifact", detail=True)]
    """JSON: the folder's digest (md5), number of files (nfiles) and bytes (size)."""

    md5: str
    """The md5 of data.dvc: 32 hexadecimal digits and ".dir"."""
    nfiles: int = 0
    """The nfiles of data.dvc, for the error message; 0: not known."""
    size: int = 0
    """The size of data.dvc in bytes, for the error message; 0: not known."""

    def __post_init__(self) -> None:
        check_digest(self.md5)
