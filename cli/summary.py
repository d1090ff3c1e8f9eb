"""The figures of a run at one glance."""

from pathlib import Path

import typer

from components.errors import InputError
from components.metrics import read_metrics

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
        typer.echo(f"{row:<18}{found[f'shared.{row}']:>9.3f}{found[f'unshared.{row}']:>11.3f}")
    typer.echo(f"\nONNX equals PyTorch: {'yes' if onnx['passed'] else 'no'}")
    typer.echo(f"report     {build / 'evaluate' / 'report.html'}")
    typer.echo(f"model      {build / 'export_onnx' / 'model.onnx'}")
    typer.echo("runs       make ui")


def _read(path: Path) -> dict[str, float]:
    if not path.exists():
        raise InputError(f"{path} is missing: run `dvc repro` to its end first")
    return read_metrics(path)
