"""Register the exported detector, and make it the champion if it is at least as good."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from components.contract import Input, Output, Resources, Scratch

FAMILIES = ("shared.", "unshared.", "recall.")
"""How the names of evaluate's metrics begin."""


@dataclass(frozen=True, kw_only=True)
class RegisterModel:
    """Register the ONNX model in MLflow's model registry.

    Every model that passes the gate gets the alias `candidate`. It becomes `champion` if there
    is none, or if it is at least as good as the champion on the same version of the data.
    """

    resources: ClassVar[Resources] = Resources(image="register", cpu=1, memory_gib=2)

    model: Annotated[Path, Input("Model")]
    """ONNX file of export_onnx."""
    evaluation: Annotated[Path, Input("Metrics")]
    """metrics.json of evaluate."""
    validation: Annotated[Path, Input("Metrics")]
    """metrics.json of validate_onnx."""
    index: Annotated[Path, Input("Dataset")]
    """Columnar index of the data set that the model was measured on."""
    metrics: Annotated[Path, Output("Metrics", detail=True)]
    """The gate's result. The registry's decision depends on earlier models: it is in MLflow."""
    scratch: Annotated[Path | None, Scratch()] = None
    """Folder for decision.json: version, aliases, reason."""

    model_name: str = "fourstep"
    """Name in the registry."""
    metric: str = "shared.AP"
    """Metric of evaluate that candidates are compared by, of `FAMILIES`."""
    minimum: float = 0.0
    """Gate: least value of the metric, 0..1."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.model_name or set(self.model_name) & set("/:"):
            raise ValueError(f"model_name: {self.model_name!r} is empty or has a / or :")
        if not self.metric.startswith(FAMILIES):
            raise ValueError(
                f"metric: {self.metric!r} is none of evaluate's, whose names begin with "
                f"{', '.join(FAMILIES)}: shared.AP50, say"
            )
        if not 0 <= self.minimum <= 1:
            raise ValueError(f"minimum: {self.minimum} is not between 0 and 1")
