"""Step 1: train the region proposal network."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from components.contract import Input, Output, Resources, Scratch
from components.training.parameters import SolverParameters, TrainedConvs
from models.parameters import AnchorParameters, RPNTargetParameters


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainRpn:
    """Step 1: train the RPN and the convs below it, from the initial classifier.

    Faster R-CNN, 3.2, first step.
    """

    resources: ClassVar[Resources] = Resources(memory_gib=8, gpu=True, several=True)

    data: Annotated[Path, Input("Dataset")]
    """Data set folder, in COCO or Pascal VOC layout."""
    index: Annotated[Path, Input("Dataset")]
    """Index of the data set, from validate_data."""
    backbone: Annotated[Path, Input("Model")]
    """Initial convs, from init_backbone."""
    rpn: Annotated[Path, Output("Model")]
    """Checkpoint of the RPN and its convs."""
    metrics: Annotated[Path, Output("Metrics", detail=True)]
    """Last losses."""
    curve: Annotated[Path, Output("Plot", detail=True)]
    """Loss curve, CSV."""
    page: Annotated[Path, Output("HTML")]
    """Losses and metrics on one page, HTML."""
    scratch: Annotated[Path, Scratch()]
    """Folder of resumable state."""

    trained_convs: TrainedConvs = "upper"
    """Which shared convs learn: upper, all or none; as in train_detector."""
    anchors: AnchorParameters = field(default_factory=AnchorParameters)
    targets: RPNTargetParameters = field(default_factory=RPNTargetParameters)
    solver: SolverParameters = field(default_factory=lambda: SolverParameters(images_per_batch=1))
