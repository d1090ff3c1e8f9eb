"""Write the trained detector as one ONNX file, post-processing included."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from components.contract import Input, Output, Resources
from models.checks import check_scale
from models.parameters import DetectionParameters, ProposalParameters


@dataclass(frozen=True, kw_only=True)
class ExportOnnx:
    """Export the shared network (step 4) to ONNX, with dynamic batch, height and width.

    In: ``images`` (B, 3, H, W), RGB, 0..255, resized by the rule in the file's metadata;
    normalisation is in the graph. Out: ``boxes`` (B, D, 4) as x1 y1 x2 y2 in input pixels,
    ``scores`` (B, D), ``labels`` (B, D) in 1..C and ``count`` (B,), best first; slots from
    ``count`` on are zero. With RoI max pooling the model runs on a GPU except for that
    operator, for which ONNX Runtime has a CPU kernel only.
    """

    resources: ClassVar[Resources] = Resources(image="onnx", memory_gib=4)

    detector: Annotated[Path, Input("Model")]
    """Step 4's checkpoint: shared convolutions, RPN and detector."""
    model: Annotated[Path, Output("Model")]
    """The ONNX file, weights inside."""
    metrics: Annotated[Path, Output("Metrics", detail=True)]
    """JSON: size in bytes, number of nodes and of parameters, opset."""

    scale: int = 0
    """The scale to resize images to, as the short side in pixels; 0 is that of the training. A
    detector that was trained on an image pyramid needs one: the graph has one input and one
    trunk."""
    input_type: Literal["uint8", "float32"] = "uint8"
    """Type of the pixels; an ONNX input has exactly one. Both hold values from 0 to 255."""
    detection: DetectionParameters = field(default_factory=DetectionParameters)
    """Limits of the detections, fixed in the graph."""
    proposals: ProposalParameters = field(
        default_factory=lambda: ProposalParameters(pre_nms=6000, post_nms=300)
    )
    """Limits of the proposals, fixed in the graph: 6000 into NMS, 300 kept (Faster R-CNN, 3.3)."""

    def __post_init__(self) -> None:
        check_scale(self)
