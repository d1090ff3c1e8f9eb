"""kfp's ``{"IfPresent": {"InputName": ...}}``: an argument that depends on an optional input."""

import json
from collections.abc import Iterator
from typing import Any


def conditional_inputs(text: str) -> Iterator[str]:
    """The inputs, of either kind, that the conditions in an argument ask for.

    kfp nests conditions in each other and in its ``{"Concat": [...]}``.
    """
    for key, value in _pairs(_parsed(text)):
        name = value.get("InputName") if key == "IfPresent" and isinstance(value, dict) else None
        if isinstance(name, str):
            yield name


def _parsed(text: str) -> Any:
    if not text.lstrip().startswith("{"):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """All (key, value) pairs of a nested value."""
    if isinstance(value, list):
        for item in value:
            yield from _pairs(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key, item
            yield from _pairs(item)
