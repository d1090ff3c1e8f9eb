"""No password of an address gets into a log, a tag, a link or an error."""

import re


def redact(text: str) -> str:
    """The text with each address as it is without user and password."""
    return re.sub(r"://[^/\s]+@", "://", text)


def mask_passwords(text: str) -> str:
    """The text with ``***`` for the user and password of each address that has a password.

    A user alone stays: in the address of a store it may be no secret but the account. A password
    may hold a slash; so all up to the last ``@`` of a word goes, of a path too.
    """
    return re.sub(r"://[^\s:@]*:\S*@", "://***@", text)
