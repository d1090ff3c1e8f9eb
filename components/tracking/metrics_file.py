"""metrics.json: what a stage measured, as numbers in a flat or nested dictionary."""

import json
from pathlib import Path
from typing import Any

from components.errors import InputError


def read_metrics(path: Path) -> dict[str, float]:
    """The numbers of a metrics file: ``{"shared": {"AP": 0.6}}`` becomes ``{"shared.AP": 0.6}``.

    Raises:
        InputError: the file is no JSON dictionary.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a metrics file ({error})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a metrics file (a {type(content).__name__}, no dictionary)")
    return flatten(content)


def flatten(content: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Nested numbers under dotted names; whatever is no number is left out."""
    flat: dict[str, float] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        elif isinstance(value, int | float):
            flat[prefix + key] = float(value)
    return flat
