"""RPN and detector on the same convs from the first iteration on: the other two schedules."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from components.contract import Input, Output, Resources, Scratch
from components.training.parameters import SolverParameters, TrainedConvs, check_rois
from models.parameters import (
    AnchorParameters,
    ProposalParameters,
    RoIHeadParameters,
    RoITargetParameters,
    RPNTargetParameters,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainJoint:
    """Train RPN, detector and the convs that they share together, in one stage.

    Each mini-batch trains both parts, the detector on proposals that the RPN makes at that moment.
    They count as constants: no gradient goes through their coordinates (Faster R-CNN, 3.2,
    "approximate joint training"). Box targets are normalised by 0 and 0.1 0.1 0.2 0.2, since there
    are no proposals yet whose mean and deviation one could take.
    """

    resources: ClassVar[Resources] = Resources(memory_gib=8, gpu=True)

    data: Annotated[Path, Input("Dataset")]
    """Data set folder, in COCO or Pascal VOC layout."""
    index: Annotated[Path, Input("Dataset")]
    """Index of the data set, from validate_data."""
    backbone: Annotated[Path, Input("Model")]
    """Initial convs and per-RoI head, from init_backbone."""
    network: Annotated[Path, Output("Model")]
    """Checkpoint of the shared convs with both parts."""
    metrics: Annotated[Path, Output("Metrics", detail=True)]
    """Last losses."""
    curve: Annotated[Path, Output("Plot", detail=True)]
    """Loss curve, CSV."""
    page: Annotated[Path, Output("HTML")]
    """Losses and metrics on one page, HTML."""
    scratch: Annotated[Path, Scratch()]
    """Folder of resumable state."""

    schedule: Literal["joint", "per_batch"] = "joint"
    """joint: one update on the sum of all four losses. per_batch: for each mini-batch an update on
    the RPN's losses, then proposals of the RPN just updated, then an update on the detector's."""
    trained_convs: TrainedConvs = "upper"
    """Which shared convs learn: upper, all or none; as in train_detector."""
    anchors: AnchorParameters = field(default_factory=AnchorParameters)
    rpn_targets: RPNTargetParameters = field(default_factory=RPNTargetParameters)
    proposals: ProposalParameters = field(
        default_factory=lambda: ProposalParameters(pre_nms=12000, post_nms=2000)
    )
    """The detector's proposals while training (py-faster-rcnn, end-to-end: 12000 into NMS, 2000
    kept)."""
    roi: RoIHeadParameters = field(default_factory=RoIHeadParameters)
    roi_targets: RoITargetParameters = field(default_factory=RoITargetParameters)
    solver: SolverParameters = field(
        default_factory=lambda: SolverParameters(
            images_per_batch=1, iterations=70000, lr_drops=(50000,)
        )
    )
    """VOC07: 70000 iterations, learning rate / 10 after 50000 (py-faster-rcnn, end-to-end)."""

    def __post_init__(self) -> None:
        check_rois("roi_targets", self.roi_targets, self.solver)
