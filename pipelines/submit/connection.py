"""Where Kubeflow Pipelines is, and how to reach it."""

import shlex
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from components.errors import InputError


@dataclass(frozen=True)
class Connection:
    """What the user says about the server."""

    host: str
    """Base URL, such as ``https://kubeflow.example.org/pipeline`` or ``http://localhost:8080``."""
    namespace: str | None = None
    token_file: Path | None = None
    ca_bundle: Path | None = None
    ui: str | None = None
    """Base URL of the UI if it is not the host."""
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    pause: float = 1.0
    """Seconds before a call is repeated the first time."""


def check_host(host: str) -> str:
    """The base URL without a slash at its end.

    Raises:
        InputError: it has no scheme or host, or more than a path behind it.
    """
    url = urlsplit(host)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise InputError(
            f"--host {_without_user(host)}: must be a URL with its scheme, such as "
            "https://kubeflow.example.org/pipeline or http://localhost:8080"
        )
    if url.username is not None or url.password is not None:
        raise InputError(
            f"--host {_without_user(host)}: must hold no user or password; "
            "give a token with --token-file"
        )
    if url.query or url.fragment or "#" in host:
        base = host.partition("?")[0].partition("#")[0].rstrip("/")
        raise InputError(f"--host {base}...: give the part before '?' and '#' only: {base}")
    try:
        _ = url.port
    except ValueError:
        raise InputError(f"--host {host}: the port must be a number up to 65535") from None
    return host.rstrip("/")


def check_ca_bundle(path: Path | None) -> None:
    """Refuse a CA bundle that holds no certificate.

    Raises:
        InputError: names the file.
    """
    if path is None:
        return
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror if not isinstance(error, ssl.SSLError) else "no PEM certificates"
        raise InputError(f"--ca-bundle {path}: cannot be used ({reason})") from None


def resume_command(connection: Connection, run_id: str) -> str:
    """The command that follows a run again. It holds no secret."""
    words = ["fourstep", "watch", run_id, "--host", connection.host]
    for flag, value in (
        ("--namespace", connection.namespace),
        ("--token-file", connection.token_file),
        ("--ca-bundle", connection.ca_bundle),
    ):
        if value is not None:
            words += [flag, str(value)]
    return shlex.join(words)


def _without_user(host: str) -> str:
    _, at, behind = host.rpartition("@")
    return f"...@{behind}" if at else host
