"""Fetch one version of a data folder from a DVC remote."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from components.contract import Output, Resources
from components.dataset.dvc_version import check_digest


@dataclass(frozen=True, kw_only=True)
class FetchData:
    """Fetch the version of the data that data.dvc names from a DVC remote.

    The files go straight to the output: no DVC project, no cache, nothing kept twice.
    Credentials come from the environment, as the remote's own library reads them: AWS_*, a netrc
    file for HTTP. Then the folder's digest is checked.
    """

    resources: ClassVar[Resources] = Resources(image="data", cpu=2, memory_gib=4)

    data: Annotated[Path, Output("Dataset")]
    """Folder of images and annotations."""

    remote: str
    """URL of the DVC remote, without credentials: s3://, https:// or a path; others need DVC's
    package for them in the image."""
    md5: str
    """The md5 of data.dvc: 32 hexadecimal digits and ".dir"."""
    nfiles: int = 0
    """The nfiles of data.dvc, for the error message; 0: not known."""
    size: int = 0
    """The size of data.dvc in bytes, for the error message; 0: not known."""
    endpoint_url: str = ""
    """Address of an S3-compatible store, such as MinIO; empty: Amazon's."""

    def __post_init__(self) -> None:
        check_digest(self.md5)
        if not self.remote:
            raise ValueError("remote: empty; give the URL of the DVC remote")
        check_no_secret("remote", self.remote)
        check_no_secret("endpoint_url", self.endpoint_url)
        if self.endpoint_url and urlsplit(self.remote).scheme != "s3":
            raise ValueError(
                f"endpoint_url: {self.endpoint_url!r} is only for a remote of s3://; leave it out"
            )


def check_no_secret(key: str, url: str) -> None:
    """Refuse a URL with a password or a signature: parameters are seen by everyone.

    Raises:
        ValueError: without the URL.
    """
    parts = urlsplit(url)
    if parts.password is not None or (parts.scheme and parts.query):
        raise ValueError(
            f"{key}: this URL holds a password or a query string, and parameters are shown in "
            "Kubeflow and MLflow; give it without, and the credentials in the environment from a "
            "Secret"
        )
