"""Errors that are the user's to mend."""


class InputError(Exception):
    """Bad input: the message names the file, image or setting, its value, and the remedy.

    Stages and commands print it without a traceback and exit with status 1.
    """


class CheckFailed(InputError):  # noqa: N818 (it reads as what happened)
    """A result that was measured and is not good enough: the message names what and by how much."""
