"""Prove that the exported detector equals the trained one, and time both."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from components.contract import Input, Output, Resources, Scratch
from models.checks import check_at_least, check_fraction, check_positive


@dataclass(frozen=True, kw_only=True)
class ValidateOnnx:
    """Compare the ONNX model with the network it was exported from; fail if they differ.

    First ONNX's checker, then the detections of both on several (batch, size) pairs of real
    images, then the AP of both on the whole split. At last both are timed. Runs on the GPU if
    there is one.
    """

    resources: ClassVar[Resources] = Resources(image="onnx", memory_gib=8, gpu=True)

    data: Annotated[Path, Input("Dataset")]
    """Folder of images that the index names."""
    index: Annotated[Path, Input("Dataset")]
    """Columnar index written by validate_data."""
    detector: Annotated[Path, Input("Model")]
    """The checkpoint that was exported."""
    model: Annotated[Path, Input("Model")]
    """ONNX file of export_onnx."""
    metrics: Annotated[Path, Output("Metrics")]
    """JSON: passed (1), largest differences, AP of both."""
    scratch: Annotated[Path, Scratch()]
    """Folder for timings.json: latency and throughput of both."""

    split: Literal["train", "test"] = "test"
    """Split whose images are used."""
    batch_size: int = 4
    """Images in a forward pass on the whole split, and in the larger of the two timed batches."""
    box_tolerance: float = 0.05
    """Largest allowed difference of a box's coordinate, in input pixels."""
    score_tolerance: float = 0.0005
    """Largest allowed difference of a score."""
    unmatched_share: float = 0.02
    """Share of detections that may lack an equal: where two candidates tie, the last digit decides
    which one NMS keeps. RoI pooling makes such ties: RoIs that round to the same cells get the
    same score. A wrong weight moves far more detections."""
    ap_tolerance: float = 0.001
    """Largest allowed difference of AP and of AP50, each between 0 and 1."""
    runs: int = 10
    """Timed runs, of which the median counts; 0 times nothing."""

    def __post_init__(self) -> None:
        check_at_least(self, "batch_size", 1)
        check_at_least(self, "runs", 0)
        check_positive(self, "box_tolerance", "score_tolerance")
        check_fraction(self, "unmatched_share", "ap_tolerance")
