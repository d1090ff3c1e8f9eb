"""Step 2: train the Fast R-CNN detector."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from components.contract import Input, Output, Resources, Scratch
from components.training.parameters import SolverParameters, TrainedConvs, check_rois
from models.parameters import RoIHeadParameters, RoITargetParameters


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainDetector:
    """Step 2: train Fast R-CNN on step 1's proposals, from the initial classifier again.

    The convs are not step 1's: no convs are shared yet (Faster R-CNN, 3.2, second step). With
    a proposals file from anywhere else this is Fast R-CNN proper (docs/proposals.md).
    """

    resources: ClassVar[Resources] = Resources(memory_gib=8, gpu=True, several=True)

    data: Annotated[Path, Input("Dataset")]
    """Data set folder, in COCO or Pascal VOC layout."""
    index: Annotated[Path, Input("Dataset")]
    """Index of the data set, from validate_data."""
    backbone: Annotated[Path, Input("Model")]
    """Initial convs and per-RoI head, from init_backbone."""
    proposals: Annotated[Path, Input("Dataset")]
    """Proposals of the training split."""
    classifier: Annotated[Path | None, Input("Model")] = None
    """A detector of this stage that was trained with targets.box_loss_weight 0. If it is given, its
    box regressors alone learn and all else stays: stage-wise training (Fast R-CNN, 5.1)."""
    detector: Annotated[Path, Output("Model")]
    """Checkpoint of the detector and its convs."""
    metrics: Annotated[Path, Output("Metrics", detail=True)]
    """Last losses; means and deviations of the box targets."""
    curve: Annotated[Path, Output("Plot", detail=True)]
    """Loss curve, CSV."""
    page: Annotated[Path, Output("HTML")]
    """Losses and metrics on one page, HTML."""
    scratch: Annotated[Path, Scratch()]
    """Folder of resumable state."""

    trained_convs: TrainedConvs = "upper"
    """Which shared convs learn: upper, all but a pretrained backbone's first blocks (VGG16: from
    conv3_1 up; Fast R-CNN, 4.5: 66.9 mAP on VOC07); all (67.2 from conv2_1 up); or none, so that
    only the per-RoI layers do, as SPPnet's (61.4)."""
    roi: RoIHeadParameters = field(default_factory=RoIHeadParameters)
    targets: RoITargetParameters = field(default_factory=RoITargetParameters)
    target_statistics: Literal["computed", "fixed"] = "computed"
    """Mean and deviation that normalise box targets: of this training split's foreground
    proposals (Fast R-CNN, 2.3), or py-faster-rcnn's fixed 0 and 0.1 0.1 0.2 0.2."""
    solver: SolverParameters = field(
        default_factory=lambda: SolverParameters(iterations=40000, lr_drops=(30000,))
    )

    def __post_init__(self) -> None:
        check_rois("targets", self.targets, self.solver)
