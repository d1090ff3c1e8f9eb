"""The figures of a run at one glance."""

import json
from pathlib import Path
from typing import Any

import typer

from components.errors import InputError

ROWS = ("AP", "AP50", "AP75", "AP50_all_points", "AP50_11_point")


def print_summary(build: Path) -> None:
    """Print what evaluate, validate_onnx and register_model found, and where to look.

    Raises:
        InputError: the pipeline has not run to its end.
    """
    found = _read(build / "evaluate" / "metrics.json")
    onnx = _read(build / "validate_onnx" / "metrics.json")
    typer.echo(f"\n{'test split':<18}{'shared':>9}{'unshared':>11}")
    for row in ROWS:
        typer.echo(f"{row:<18}{found['shared'][row]:>9.3f}{found['unshared'][row]:>11.3f}")
    typer.echo(f"\nONNX equals PyTorch: {'yes' if onnx['passed'] else 'no'}")
    typer.echo(f"report     {build / 'evaluate' / 'report.html'}")
    typer.echo(f"model      {build / 'export_onnx' / 'model.onnx'}")
    typer.echo("runs       mlflow ui --backend-store-uri sqlite:///mlflow.db")


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except OSError:
        raise InputError(f"{path} is missing: run `dvc repro` to its end first") from None
