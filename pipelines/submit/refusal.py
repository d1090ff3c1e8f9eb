"""What an answer with an error status means for the user."""

import json
from typing import Any
from urllib.parse import urlsplit

import urllib3

from pipelines.submit.connection import Connection
from pipelines.submit.errors import ServerError, one_line
from pipelines.submit.login import Login, variable

TOO_MANY = 429


def server_message(body: str | None) -> str:
    """What an answer says of the error, on one line; empty if it is no JSON of the API's."""
    try:
        answer = json.loads(body or "")
    except ValueError:
        return ""
    if not isinstance(answer, dict):
        return ""
    for key in ("message", "error", "error_message"):
        if isinstance(answer.get(key), str):
            return one_line(answer[key])
    return ""


def refused(error: Any, message: str, connection: Connection, login: Login | None) -> ServerError:
    """The error of an answer that has an error status.

    Args:
        error: the ApiException of kfp_server_api.
        message: what the server says, cleaned; may be empty.
        connection: where it was sent.
        login: what it was sent with.
    """
    status = int(error.status or 0)
    if status == 500 and "Unauthenticated" in message:  # how some versions say 401
        status = 401
    said = f"; the server says: {message}" if message else ""
    if 300 <= status < 400:
        text = _redirected(error)
    elif status == 401:
        text = f"not logged in (401): {_login_hint(login)}{said}"
    elif status == 403:
        text = f"no permission (403) {_where(connection.namespace)}{said}"
    else:
        text = f"HTTP {status}: {message or one_line(str(error.reason or ''), 200)}"
    return ServerError(
        f"{connection.host}: {text}",
        status=status,
        passing=status == TOO_MANY or status >= 500,
        taken=status >= 500,
        retry_after=_retry_after(error.headers),
    )


def _redirected(error: Any) -> str:
    to = urlsplit((error.headers or {}).get("Location", ""))
    where = f"{to.scheme}://{to.netloc}{to.path}" if to.netloc else to.path
    return (
        f"the server answers with a redirect to {one_line(where, 200)} ({error.status}). If "
        "that is a login page, the token or cookie is missing or has expired; if it is the same "
        "address with https, give that as --host"
    )


def _login_hint(login: Login | None) -> str:
    if login is None:
        return f"no token was given; use --token-file FILE or the variable {variable('token')}"
    return f"the {login.kind} of {login.source} was not accepted; it may have expired"


def _where(namespace: str | None) -> str:
    if not namespace:
        return "for this login; ask who runs the server"
    return (
        f"in the namespace '{namespace}': it does not exist, or the login may not use it; "
        "check --namespace"
    )


def _retry_after(headers: Any) -> float | None:
    value = (headers or {}).get("Retry-After")
    if not value:
        return None
    try:
        return float(urllib3.Retry().parse_retry_after(value))
    except urllib3.exceptions.InvalidHeader:
        return None
