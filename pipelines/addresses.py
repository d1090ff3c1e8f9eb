"""Addresses in a profile: of web pages, object stores and DVC remotes, never with a password."""

import re
from urllib.parse import urlsplit

DVC_SCHEMES = ("s3", "http", "https")
"""Of DVC remotes: those whose packages the image `data` has (requirements/data.txt)."""


def no_secret(url: str) -> None:
    """Refuse an address with a user, a query or a fragment: passwords and tokens stand there.

    Raises:
        ValueError: without the address.
    """
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be without user, password and query: credentials come from a Secret")


def web(url: str) -> str:
    """The address, if it is one of HTTP.

    Raises:
        ValueError: it is not.
    """
    no_secret(url)
    if not re.fullmatch(r"https?://[^\s/{}]+(/[^\s{}]*)?", url) or urlsplit(url).port == 0:
        raise ValueError(f"{url!r} is not a web address; give http://HOST or https://HOST/PATH")
    return url


def store(url: str) -> str:
    """The address, if Kubeflow's importer and launcher read a folder by it.

    Raises:
        ValueError: they do not.
    """
    no_secret(url)
    parts = url.split("/")
    if not re.fullmatch(r"(s3|gs|minio)://[^\s/{}]+/[^\s/{}][^\s{}]*", url) or ".." in parts:
        raise ValueError(
            f"{url!r} is not a folder that Kubeflow reads; give s3://BUCKET/FOLDER, gs:// or "
            "minio://, or another way to the data: data.volume, data.dvc"
        )
    return url


def dvc_remote(url: str) -> str:
    """The address, if the image `data` can read a DVC remote by it.

    Raises:
        ValueError: it cannot.
    """
    no_secret(url)
    if not re.fullmatch(rf"({'|'.join(DVC_SCHEMES)})://[^\s/{{}}]+(/[^\s{{}}]*)?", url):
        raise ValueError(
            f"{url!r} is not a remote that the image for data can read: it has DVC's packages for "
            "s3:// and https:// only; `dvc push` the data to such a remote, or put them on a "
            "volume (data.volume)"
        )
    return url
