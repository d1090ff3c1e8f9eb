"""Errors of the Kubeflow Pipelines API, and whether trying again can help."""

from dataclasses import dataclass
from typing import Any

import urllib3

from components.errors import InputError


@dataclass(eq=False)
class ServerError(InputError):
    """A call that failed.

    ``status`` is the HTTP status, or 0 if there was no answer. ``passing`` says that the same call
    may succeed later; ``taken``, that the server may have done what was asked for all the same, or
    may still be at work on it. ``retry_after`` is what the server asks to wait, in seconds.
    """

    message: str
    status: int = 0
    passing: bool = False
    taken: bool = False
    retry_after: float | None = None

    def __str__(self) -> str:
        return self.message


def one_line(text: str, limit: int = 600) -> str:
    """A text from outside as one line: without control characters, and not too long."""
    line = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(line.split())
    return line if len(line) <= limit else f"{line[:limit]}..."


def unreachable(host: str, error: Any, read_timeout: float) -> ServerError:
    """The error of a call that got no answer.

    Args:
        host: the URL that was given.
        error: what urllib3 raised.
        read_timeout: how long an answer was waited for, in seconds.
    """
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, urllib3.exceptions.SSLError):
        return ServerError(f"{host}: {_tls(str(reason))}")
    if isinstance(reason, urllib3.exceptions.NameResolutionError):
        text = "no host of this name is known; check --host, or the VPN"
    elif isinstance(reason, urllib3.exceptions.NewConnectionError):
        why = getattr(reason.__cause__, "strerror", None) or "it failed"
        text = f"no connection ({why}); check --host and its port, or start the port-forward"
    elif isinstance(reason, urllib3.exceptions.ConnectTimeoutError):
        text = "no connection within the time; check --host, the VPN or the firewall"
    elif isinstance(reason, urllib3.exceptions.ReadTimeoutError):
        text = f"{host}: no answer within {read_timeout:g} s"
        return ServerError(text, passing=True, taken=True)
    else:
        text = f"the connection broke before the answer came ({one_line(str(reason), 200)})"
        return ServerError(f"{host}: {text}", passing=True, taken=True)
    return ServerError(f"{host}: {text}", passing=True)


def not_kfp(host: str) -> ServerError:
    """The error of an answer that is none of the API's."""
    return ServerError(
        f"{host}: the answer is not of the Kubeflow Pipelines API v2beta1. A page in its "
        "place is often the login of a proxy: check the token or cookie. In a full Kubeflow the "
        "API is under /pipeline of the dashboard's address"
    )


def _tls(reason: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        what = one_line(reason.partition("CERTIFICATE_VERIFY_FAILED]")[2], 200)
        return (
            f"the server's certificate cannot be verified ({what.strip('() ')}); give the "
            "certificates of who signed it with --ca-bundle FILE"
        )
    if "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER" in reason:
        return "the server does not speak TLS on this port; try http://"
    return f"no TLS connection ({one_line(reason, 200)})"
