"""Proposal generation, after steps 1 and 3."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from components.contract import Input, Output, Resources
from models.checks import check_positive
from models.parameters import ProposalParameters


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateProposals:
    """Write an RPN's proposals of a split, and how much of the ground truth they recall."""

    resources: ClassVar[Resources] = Resources(memory_gib=8, gpu=True)

    data: Annotated[Path, Input("Dataset")]
    """Data set folder, in COCO or Pascal VOC layout."""
    index: Annotated[Path, Input("Dataset")]
    """Index of the data set, from validate_data."""
    rpn: Annotated[Path, Input("Model")]
    """Checkpoint with an RPN."""
    proposals: Annotated[Path, Output("Dataset")]
    """The proposals, keyed by image id (docs/proposals.md)."""
    metrics: Annotated[Path, Output("Metrics", detail=True)]
    """Recall at IoU 0.5 and 0.7 and mean over 0.5..0.95, for several numbers of proposals."""
    recall: Annotated[Path, Output("Plot", detail=True)]
    """Recall by IoU and number of proposals, CSV."""
    page: Annotated[Path, Output("HTML")]
    """Recall on one page, HTML."""

    split: Literal["train", "test"] = "train"
    """Whose images."""
    limits: ProposalParameters = field(default_factory=ProposalParameters)
    batch_size: int = 1
    """Images at a time."""

    def __post_init__(self) -> None:
        check_positive(self, "batch_size")
