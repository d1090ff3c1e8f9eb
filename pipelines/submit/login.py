"""How the server knows the user: a bearer token or a session cookie, never on the command line."""

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from components.errors import InputError
from pipelines.submit.connection import Connection

Kind = Literal["token", "cookie"]
KINDS: tuple[Kind, ...] = ("token", "cookie")
_MUST = {
    "token": "is not a bearer token; it must be one line without spaces",
    "cookie": "is not a cookie; it must be one line NAME=VALUE, such as authservice_session=..., "
    "several with '; ' between them",
}


@dataclass(frozen=True)
class Login:
    """Where the token or the cookie is found; its value is never kept in a representation."""

    kind: Kind
    file: Path | None
    source: str
    """What an error calls it: the option or the variable, and the file."""

    def read(self) -> str:
        """The value as it is now: a service account's file changes every hour.

        Raises:
            InputError: the file cannot be read, or holds something else. Never shows what it holds.
        """
        if self.file is None:
            return self._checked(os.environ.get(variable(self.kind), ""))
        try:
            text = self.file.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise InputError(f"{self.source}: cannot read the {self.kind} ({reason})") from None
        return self._checked(text)

    def headers(self) -> dict[str, str]:
        """What is sent with each call."""
        value = self.read()
        return {"Cookie": value} if self.kind == "cookie" else {"authorization": f"Bearer {value}"}

    def _checked(self, text: str) -> str:
        value = text.strip()
        if not value:
            raise InputError(f"{self.source}: is empty; put a {self.kind} in it")
        fits = value.isascii() and value.isprintable()
        if self.kind == "token":
            fits = fits and " " not in value
        else:
            pairs = [pair.partition("=") for pair in value.split("; ")]
            fits = fits and all(n and v and " " not in n + v for n, _, v in pairs)
        if not fits:
            raise InputError(f"{self.source}: {_MUST[self.kind]}")
        return value


def variable(kind: Kind) -> str:
    """The environment variable that holds the value; with ``_FILE`` behind it, a file's name."""
    return f"FOURSTEP_KFP_{kind.upper()}"


def secrets(headers: dict[str, str]) -> list[str]:
    """What of these headers must never be shown, the longest first."""
    token = headers.get("authorization", "").removeprefix("Bearer ")
    cookie = headers.get("Cookie", "")
    values = [pair.partition("=")[2] for pair in cookie.split("; ")]
    return sorted(filter(None, [token, cookie, *values]), key=len, reverse=True)


def find_login(connection: Connection) -> Login | None:
    """The login of the options, else of the environment; None if there is none.

    Raises:
        InputError: it cannot be read, or there are a token and a cookie.
    """
    given = {"token": connection.token_file, "cookie": connection.cookie_file}
    options = [Login(k, file, f"--{k}-file {file}") for k in KINDS if (file := given[k])]
    logins = options or [login for kind in KINDS if (login := _of_environment(kind))]
    if len(logins) > 1:
        raise InputError(f"{logins[0].source} and {logins[1].source}: give one of them, not both")
    if not logins:
        return None
    logins[0].read()
    return logins[0]


def _of_environment(kind: Kind) -> Login | None:
    name = variable(kind)
    file = os.environ.get(f"{name}_FILE")
    if file:
        return Login(kind, Path(file), f"{name}_FILE={file}")
    return Login(kind, None, name) if os.environ.get(name) else None


def shown_login(connection: Connection) -> Kind | None:
    """What of the login would go over the network unencrypted, if anything."""
    url = urlsplit(connection.host)
    login = find_login(connection)
    if url.scheme == "https" or login is None or _is_loopback(url.hostname or ""):
        return None
    return login.kind


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
