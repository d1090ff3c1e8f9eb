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
    cookie_file: Path | None = None
    ui: str | None = None
    """Base URL of the UI if it is not the host."""

    def __post_init__(self) -> None:
        """Refuse what cannot be used; URLs lose a slash at their end.

        Raises:
            InputError: names the option.
        """
        object.__setattr__(self, "host", _base_url("--host", self.host))
        if self.ui is not None:
            object.__setattr__(self, "ui", _base_url("kubeflow_ui", self.ui))
        if self.ca_bundle is not None:
            _check_ca_bundle(self.ca_bundle)


def _base_url(option: str, host: str) -> str:
    url = urlsplit(host)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise InputError(
            f"{option} {_without_user(host)}: must be a URL with its scheme, such as "
            "https://kubeflow.example.org/pipeline or http://localhost:8080"
        )
    if url.username is not None or url.password is not None:
        raise InputError(
            f"{option} {_without_user(host)}: must hold no user or password; "
            "give a token with --token-file or a cookie with --cookie-file"
        )
    if url.query or url.fragment or "#" in host:
        base = host.partition("?")[0].partition("#")[0].rstrip("/")
        raise InputError(f"{option} {base}...: give the part before '?' and '#' only: {base}")
    try:
        _ = url.port
    except ValueError:
        raise InputError(f"{option} {host}: the port must be a number up to 65535") from None
    return host.rstrip("/")


def _check_ca_bundle(path: Path) -> None:
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
        ("--cookie-file", connection.cookie_file),
        ("--ca-bundle", connection.ca_bundle),
    ):
        if value is not None:
            words += [flag, str(value)]
    return shlex.join(words)


def _without_user(host: str) -> str:
    _, at, behind = host.rpartition("@")
    return f"...@{behind}" if at else host
