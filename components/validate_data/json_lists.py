"""Read the lists of a JSON file element by element: an annotation file may be larger than memory.

Python's json holds the whole document; here only the element at hand and some text are held.
"""

import json
from collections.abc import Callable, Iterator
from json.decoder import WHITESPACE  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any, NoReturn, TextIO

from components.errors import InputError

CHUNK = 1 << 20
"""Characters read at a time, at least."""
ENDS = tuple(" \t\n\r,:]}")
"""What may follow a value."""


class JsonText:
    """A window on a JSON text: values are taken off its front, and more is read as needed."""

    def __init__(self, file: TextIO, parse_constant: Callable[[str, str], NoReturn]) -> None:
        """Begin at the file's place; ``parse_constant`` is told NaN or Infinity and the window."""
        self._decoder = json.JSONDecoder(
            parse_constant=lambda name: parse_constant(name, self.window),
            object_pairs_hook=each_once,
        )
        self._file = file
        self.window, self.at, self.before = "", 0, 0

    def next_sign(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            self.at = WHITESPACE.match(self.window, self.at).end()
            if self.at < len(self.window) or not self._read():
                return self.window[self.at : self.at + 1]

    def take(self, signs: str) -> str:
        """Step over the next character.

        Raises:
            json.JSONDecodeError: it is none of ``signs``.
        """
        sign = self.next_sign()
        if not sign or sign not in signs:
            wanted = " or ".join(f"'{s}'" for s in signs)
            raise json.JSONDecodeError(f"Expecting {wanted}", self.window, self.at)
        self.at += 1
        return sign

    def value(self) -> Any:
        """Take the next value, whatever it is.

        Raises:
            json.JSONDecodeError: it is none.
        """
        self.next_sign()
        while True:
            try:
                value, end = self._decoder.raw_decode(self.window, self.at)
            except json.JSONDecodeError:
                if not self._read():
                    raise
                continue
            # Without a sign that ends it, "12" may go on as "123" or "12e3".
            if self.window[end : end + 1] in ENDS or not self._read():
                self.at = end
                return value

    def elements(self) -> Iterator[Any]:
        """Take the next value, a list, an element at a time."""
        self.take("[")
        if self.next_sign() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.take(",]") == "]":
                return

    def keys(self) -> Iterator[str]:
        """Take the next value, an object, stopping behind each key to have its value taken."""
        self.take("{")
        if self.next_sign() == "}":
            self.take("}")
            return
        while True:
            if self.next_sign() != '"':
                self.take('"')
            key = self.value()
            self.take(":")
            yield key
            if self.take(",}") == "}":
                return

    def end(self) -> None:
        """Check that nothing follows.

        Raises:
            json.JSONDecodeError: something does.
        """
        if self.next_sign():
            raise json.JSONDecodeError("Extra data", self.window, self.at)

    def _read(self) -> bool:
        """Read on, twice as far if a value does not end; False at the end of the file."""
        rest = self.window[self.at :]
        chunk = self._file.read(max(CHUNK, len(rest)))
        if chunk:
            self.before += self.at
            self.window, self.at = rest + chunk, 0
        return bool(chunk)


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of these keys and values.

    Raises:
        InputError: a key is there twice; Python would take the last, others the first.
    """
    record = dict(pairs)
    if len(record) != len(pairs):
        twice = next(key for n, (key, _) in enumerate(pairs) if key in dict(pairs[:n]))
        raise InputError(f"the key {twice!r} is twice in {record!r:.200}. Remove one of the two.")
    return record


def json_lists(text: JsonText, names: tuple[str, ...]) -> Iterator[tuple[str, Iterator[Any]]]:
    """The lists of these names at a document's top level, each as an iterator to be used up.

    Raises:
        json.JSONDecodeError: the document is no JSON.
    """
    if text.next_sign() == "{":
        for key in text.keys():  # noqa: SIM118 (no dictionary)
            if key in names and text.next_sign() == "[":
                yield key, text.elements()
            else:
                text.value()
    else:
        text.value()
    text.end()


def open_json(path: Path) -> TextIO:
    """A JSON file as text: UTF-8, with or without a byte order mark."""
    return path.open(encoding="utf-8-sig")
