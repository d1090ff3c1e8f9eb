"""The gate, and the question to the registry."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.dataset.index import read_index
from components.errors import InputError
from components.metrics import read_metrics
from components.onnx_model.external import check_self_contained
from components.register_model import RegisterModel
from components.tracking import Run


def run(stage: RegisterModel, run: Run) -> None:
    """Check the gate, register the model and report the decision.

    Raises:
        InputError: the gate is not passed; the reason is recorded with the run.
    """
    try:
        value = gate(stage)
    except InputError as error:
        run.tags({"fourstep.reason": f"not registered: {error}"})
        raise
    write(stage.metrics, {"passed": 1.0, "value": value, "minimum": stage.minimum})
    decision = run.register(
        stage.model,
        model_name=stage.model_name,
        metric=stage.metric,
        value=value,
        data_version=read_index(stage.index).digest,
    )
    report(stage, run, decision)


def gate(stage: RegisterModel) -> float:
    """The model's metric, if it may be registered.

    validate_onnx and evaluate have failed already where something is wrong; this second look
    keeps a model out that was brought here by hand.

    Raises:
        InputError: the model names other files or differs from the trained one, was evaluated at
            another scale, or the metric is missing or too low.
    """
    check_self_contained(stage.model)
    validated, measured = read_metrics(stage.validation), read_metrics(stage.evaluation)
    if not validated.get("passed"):
        raise InputError(
            f"{stage.validation}: the ONNX model differs from the trained one ('passed' is not 1); "
            "export it again"
        )
    check_scales(stage, validated, measured)
    if stage.metric not in measured:
        raise InputError(
            f"{stage.evaluation}: has no metric '{stage.metric}' (it has {sorted(measured)})"
        )
    value = measured[stage.metric]
    if not value >= stage.minimum:  # not a number fails, too
        raise InputError(f"{stage.metric} {value:.4f} is below the minimum of {stage.minimum}")
    return value


def check_scales(
    stage: RegisterModel, validated: Mapping[str, float], measured: Mapping[str, float]
) -> None:
    """Refuse figures of another scale than the exported detector's.

    Raises:
        InputError: naming both scales.
    """
    one, other = (metrics.get("scale") for metrics in (measured, validated))
    if one != other:
        raise InputError(
            f"{stage.evaluation}: the detector was evaluated {at(one)}, but exported "
            f"{at(other)} ({stage.validation}): these are not the model's figures. Give "
            "evaluate.scale and export_onnx.scale the same and run both again"
        )


def at(scale: float | None) -> str:
    """A scale metric in words; it is absent where there is the scale of the training alone."""
    if scale is None:
        return "at the one scale of its training"
    return f"at short side {scale:.0f}" if scale else "on its whole image pyramid"


def report(stage: RegisterModel, run: Run, decision: dict[str, Any] | None) -> None:
    """Say what the registry decided, on the terminal and in the scratch folder."""
    if decision:
        role = "champion" if decision["champion"] else "candidate"
        name = f"{decision['model']} {decision['version']}"
        print(f"register_model: {name} is {role}: {decision['reason']}")
        if stage.scratch:
            stage.scratch.mkdir(parents=True, exist_ok=True)
            write(stage.scratch / "decision.json", decision)
    elif run.recorded:
        print("register_model: MLflow is away; `fourstep track replay` registers the model later")
    else:
        print("register_model: tracking is off, so the model is not registered")


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a dictionary as JSON."""
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
