"""Steps 3 and 4: fine-tune the RPN, then the detector, on shared convs that stay fixed."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from components.contract import Input, Output, Resources, Scratch
from components.training.parameters import SolverParameters, check_rois
from models.checks import check_at_least
from models.parameters import RoITargetParameters, RPNTargetParameters


@dataclass(frozen=True, kw_only=True, slots=True)
class Finetune:
    """Steps 3 and 4: fine-tune one part on the detector's convs, which stay fixed.

    Step 3 (part rpn) trains the RPN's layers on step 2's convs, which become the shared ones;
    step 4 (part detector) trains the detector's layers on step 3's proposals (Faster R-CNN, 3.2).
    Every shared conv stays bit-equal. The result is one network with both parts.
    """

    resources: ClassVar[Resources] = Resources(memory_gib=8, gpu=True)

    data: Annotated[Path, Input("Dataset")]
    """Data set folder, in COCO or Pascal VOC layout."""
    index: Annotated[Path, Input("Dataset")]
    """Index of the data set, from validate_data."""
    detector: Annotated[Path | None, Input("Model")] = None
    """Step 2's detector, whose convs are shared from here on. Part detector does without: step 3's
    network holds it unchanged."""
    rpn: Annotated[Path, Input("Model")]
    """Step 1's RPN for part rpn, step 3's network for part detector."""
    proposals: Annotated[Path | None, Input("Dataset")] = None
    """Step 3's proposals of the training split, for part detector."""
    network: Annotated[Path, Output("Model")]
    """Checkpoint of the shared convs with both parts."""
    metrics: Annotated[Path, Output("Metrics", detail=True)]
    """Last losses."""
    curve: Annotated[Path, Output("Plot", detail=True)]
    """Loss curve, CSV."""
    page: Annotated[Path, Output("HTML")]
    """Losses and metrics on one page, HTML."""
    scratch: Annotated[Path, Scratch()]
    """Folder of resumable state and of the frozen features."""

    part: Literal["rpn", "detector"]
    """What learns: the RPN's layers (step 3) or the detector's (step 4)."""
    init: Literal["paper", "random", "previous"] = "paper"
    """Where the part's layers start: random as in steps 1 and 2, or previous, the weights they
    had; paper is random for the RPN (only the convs come from the detector) and previous for
    the detector."""
    rpn_targets: RPNTargetParameters = field(default_factory=RPNTargetParameters)
    roi_targets: RoITargetParameters = field(default_factory=RoITargetParameters)
    feature_cache_gb: float = 50.0
    """Room for frozen features on disk, GB (10^9 bytes). What is read most often is kept first; for
    what does not fit the convs run in each iteration. The result does not depend on it."""
    solver: SolverParameters = field(default_factory=lambda: SolverParameters(images_per_batch=1))

    def __post_init__(self) -> None:
        check_at_least(self, "feature_cache_gb", 0)
        if self.part == "rpn" and self.detector is None:
            raise ValueError("detector: part rpn needs it, for its convs")
        if self.part == "detector" and self.proposals is None:
            raise ValueError("proposals: part detector needs them")
        if self.part == "detector":
            check_rois("roi_targets", self.roi_targets, self.solver)
        # Settings of what does not learn would be silently without effect.
        if self.part == "rpn" and self.roi_targets != RoITargetParameters():
            raise ValueError("roi_targets: part rpn has no use for them; leave them out")
        if self.part == "detector" and self.rpn_targets != RPNTargetParameters():
            raise ValueError("rpn_targets: part detector has no use for them; leave them out")
