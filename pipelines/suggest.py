"""What an error message proposes in place of an unknown name."""

import difflib
from collections.abc import Iterable

_LISTED = 40


def suggest(name: str, known: Iterable[str]) -> str:
    """The end of a message, with "; " before it: the nearest known name, else the known names."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"; known are {', '.join(names[:_LISTED])}{more}"
