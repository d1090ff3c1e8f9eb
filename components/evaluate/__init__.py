"""Score a network on a split, and the unshared one beside it, and show where it fails."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from components.contract import Input, Output, Resources
from models.checks import check_at_least, check_positive, check_scale
from models.parameters import DetectionParameters, ProposalParameters


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluate:
    """Score the shared network (step 4) beside the unshared one (step 1's RPN, step 2's detector).

    The two differ only in whether RPN and detector have the same convolutions, so every run
    repeats the paper's comparison (Faster R-CNN, 4.1: 59.9 shared, 58.7 unshared mAP with ZF). A
    network that was trained jointly has nothing to stand beside.
    """

    resources: ClassVar[Resources] = Resources(memory_gib=8, gpu=True)

    data: Annotated[Path, Input("Dataset")]
    """Data set folder, in COCO or Pascal VOC layout."""
    index: Annotated[Path, Input("Dataset")]
    """Index of the data set, from validate_data."""
    detector: Annotated[Path, Input("Model")]
    """Step 4's checkpoint, the shared network, whose RPN is step 3's; or train_joint's."""
    unshared_rpn: Annotated[Path | None, Input("Model")] = None
    """Step 1's checkpoint."""
    unshared_detector: Annotated[Path | None, Input("Model")] = None
    """Step 2's checkpoint."""
    given_proposals: Annotated[Path | None, Input("Dataset")] = None
    """Proposals of the split from elsewhere, such as selective search: if they are given, the
    detector is scored on them, the best proposals.post_nms of an image, and needs no RPN."""
    metrics: Annotated[Path, Output("Metrics")]
    """JSON: AP figures of the networks, in all and by class, and recall of their RPNs."""
    curves: Annotated[Path, Output("Plot", detail=True)]
    """Folder of CSV: precision against recall, recall against IoU and number of proposals."""
    pictures: Annotated[Path, Output("Plot", detail=True)]
    """Folder of PNG: the best, median and worst images with true and predicted boxes."""
    report: Annotated[Path, Output("HTML")]
    """One self-contained page with all of it."""
    detections: Annotated[Path, Output("Artifact")]
    """JSON: the shared network's detections, as COCO results (category_id is the label 1..C)."""

    split: Literal["train", "test"] = "test"
    """Whose images."""
    scale: int = 0
    """The one scale to test at, as the short side in pixels; 0 is that of the training, or its
    whole pyramid (init_backbone.input.scales). An exported detector has one scale: where
    export_onnx.scale is given, this is the same."""
    batch_size: int = 1
    """Images at a time."""
    pictures_each: int = 3
    """Pictures of best, of median and of worst images."""
    detection: DetectionParameters = field(default_factory=DetectionParameters)
    proposals: ProposalParameters = field(
        default_factory=lambda: ProposalParameters(pre_nms=6000, post_nms=300)
    )
    """Test-time proposals: 6000 into NMS, 300 kept (Faster R-CNN, 3.3)."""

    def __post_init__(self) -> None:
        if (self.unshared_rpn is None) != (self.unshared_detector is None):
            raise ValueError("unshared_rpn, unshared_detector: give both or none of them")
        check_scale(self)
        check_positive(self, "batch_size")
        check_at_least(self, "pictures_each", 0)
