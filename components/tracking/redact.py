"""No password of a tracking server's address gets into a log, a tag or a link."""

import logging
import re


def redact(text: str) -> str:
    """The text with each address as it is without user and password."""
    return re.sub(r"://[^/\s]+@", "://", text)


class Formatter(logging.Formatter):
    """Formats records, tracebacks included, without passwords."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's line or lines."""
        return redact(super().format(record))
