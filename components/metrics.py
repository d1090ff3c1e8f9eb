"""Metrics and curves on disk: the same values give the same bytes."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    """Write nested numbers as JSON, keys sorted, for `dvc metrics` and MLflow."""
    path.write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n")


def write_curve(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write rows of numbers as CSV, for `dvc plots`."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" for k, v in row.items()} for row in rows)
