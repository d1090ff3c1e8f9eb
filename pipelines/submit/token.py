"""The bearer token: from a file or the environment, never from the command line."""

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from components.errors import InputError
from pipelines.submit.connection import Connection

TOKEN, TOKEN_FILE = "FOURSTEP_KFP_TOKEN", "FOURSTEP_KFP_TOKEN_FILE"


@dataclass(frozen=True)
class Token:
    """Where the token is found; its value is never kept in a representation."""

    file: Path | None
    source: str
    """What an error calls it: the option or the variable, and the file."""

    def read(self) -> str:
        """The token as it is now: a service account's file changes every hour.

        Raises:
            InputError: the file cannot be read, or holds no token. Never shows what it holds.
        """
        if self.file is None:
            return _checked(os.environ.get(TOKEN, ""), self.source)
        try:
            text = self.file.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise InputError(f"{self.source}: cannot read the token ({reason})") from None
        return _checked(text, self.source)


def find_token(file: Path | None) -> Token | None:
    """The token of --token-file, else of FOURSTEP_KFP_TOKEN_FILE, else of FOURSTEP_KFP_TOKEN.

    Raises:
        InputError: the one that is given cannot be read.
    """
    named = os.environ.get(TOKEN_FILE)
    if file:
        token = Token(file, f"--token-file {file}")
    elif named:
        token = Token(Path(named), f"{TOKEN_FILE}={named}")
    elif os.environ.get(TOKEN):
        token = Token(None, TOKEN)
    else:
        return None
    token.read()
    return token


def shows_token(connection: Connection) -> bool:
    """Whether a token would go over the network unencrypted."""
    url = urlsplit(connection.host)
    if url.scheme == "https" or find_token(connection.token_file) is None:
        return False
    return not _is_loopback(url.hostname or "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _checked(text: str, source: str) -> str:
    value = text.strip()
    if not value:
        raise InputError(f"{source}: is empty; put a bearer token in it")
    if not value.isprintable() or " " in value:
        raise InputError(f"{source}: is no bearer token; it must be one line without spaces")
    return value
