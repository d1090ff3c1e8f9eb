"""Two stages that the tests of tracking record."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest

from components import tracking
from components.contract import Input, Output
from components.outputs import whole_outputs
from components.tracking import Run, track

OUTSIDE = (
    *("FOURSTEP_", "DVC_", "KUBERNETES_", "KFP_"),
    *("MLFLOW_EXPERIMENT", "MLFLOW_RUN", "MLFLOW_TRACKING", "MLFLOW_WORKSPACE"),
)
"""Beginnings of the variables that tell a stage where it is."""


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """A first stage."""

    out: Annotated[Path, Output("Dataset")]
    split: int = 1


@dataclass(frozen=True, kw_only=True)
class Train:
    """A stage that reads what `Prepare` made."""

    table: Annotated[Path, Input("Dataset")]
    checkpoint: Annotated[Path, Output("Model")]
    metrics: Annotated[Path, Output("Metrics")]
    curves: Annotated[Path, Output("Plot")]
    lr: float = 0.1


def set_environment(monkeypatch: pytest.MonkeyPatch, spools: Path) -> None:
    """An environment that knows of no run; no shipper starts by itself and no stage waits."""
    for name in list(os.environ):
        if name.startswith(OUTSIDE):
            monkeypatch.delenv(name)
    monkeypatch.setenv("FOURSTEP_SPOOL", str(spools))
    monkeypatch.setenv("FOURSTEP_TRACKING_WAIT", "0.01")
    monkeypatch.setattr(tracking, "start_shipper", lambda folder, linger: None)


def prepare(place: Path, **parameters: Any) -> Run:
    """Run the first stage."""
    stage = Prepare(out=place / "table", **parameters)
    with track(stage) as run, whole_outputs(stage) as aside:
        aside.out.write_text(f"table {stage.split}")
    return run


def train(place: Path, **parameters: Any) -> Run:
    """Run the second stage."""
    stage = Train(
        table=place / "table",
        checkpoint=place / "checkpoint",
        metrics=place / "metrics.json",
        curves=place / "curves.csv",
        **parameters,
    )
    with track(stage) as run, whole_outputs(stage) as aside:
        for step in range(5):
            run.metrics({"loss": stage.lr / (step + 1)}, step=step)
        aside.checkpoint.write_text(f"weights {stage.lr}")
        aside.metrics.write_text(json.dumps({"recall@300": stage.lr}))
        aside.curves.write_text("step,loss\n")
    return run
