"""Metrics and curves on disk: the same values give the same bytes."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.errors import InputError


def write_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    """Write nested numbers as JSON, keys sorted, for `dvc metrics` and MLflow."""
    path.write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n")


def write_curve(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write rows of numbers as CSV, for `dvc plots`."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" for k, v in row.items()} for row in rows)


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
