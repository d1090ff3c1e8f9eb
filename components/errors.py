"""Errors that are the user's to mend."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

REFUSAL = "FOURSTEP_REFUSAL"
"""The file that gets the refusal: who supervises the stage does not start it again then."""


class InputError(Exception):
    """Bad input: the message names the file, image or setting, its value, and the remedy.

    Stages and commands print it without a traceback and exit with status 1.
    """


class CheckFailed(InputError):  # noqa: N818 (it reads as what happened)
    """A result that was measured and is not good enough: the message names what and by how much."""


class Refused(SystemExit):
    """The process ends with status 1; why has been said."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = 1  # Python would print the message, but at the very end


@contextmanager
def refusals_said(name: str) -> Iterator[None]:
    """Say at once which input the stage ``name`` refuses; until it has ended may take seconds."""
    try:
        yield
    except InputError as error:
        message = f"{name}: {error}"
        print(message, file=sys.stderr, flush=True)
        if note := os.environ.get(REFUSAL):
            with suppress(OSError):
                Path(note).write_text(message)
        raise Refused(message) from error
