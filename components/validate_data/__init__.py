"""Check a data set before any training, and write the index that all later stages read."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from components.contract import Input, Output, Resources, Scratch


@dataclass(frozen=True, kw_only=True)
class ValidateData:
    """Check a folder in COCO or Pascal VOC layout and write its columnar index.

    The layout is detected from the folder and the class names are discovered. A failed check
    stops the pipeline and names the file, the image, the box, the value and the remedy; the
    report is then in the scratch folder.
    """

    resources: ClassVar[Resources] = Resources(image="data", memory_gib=4)

    data: Annotated[Path, Input("Dataset")]
    """Folder of images and annotations; it is never written to."""
    index: Annotated[Path, Output("Dataset")]
    """The columnar index, index.arrow."""
    metrics: Annotated[Path, Output("Metrics", detail=True)]
    """JSON: counts of images and boxes, for each split and class."""
    result: Annotated[Path, Output("Artifact", detail=True)]
    """JSON: each check with its outcome and the offending rows, and the dropped boxes."""
    report: Annotated[Path, Output("HTML")]
    """The same for people: one self-contained page."""
    scratch: Annotated[Path, Scratch()]
    """Folder where result.json and report.html of a FAILED validation are left."""

    train: str = "train"
    """Name of the source's split that becomes the index's `train`. VOC: ImageSets/Main/NAME.txt.
    COCO: annotations/instances_NAME.json, annotations/NAME.json, NAME.json or
    NAME/_annotations.coco.json (Roboflow)."""
    test: str = "test"
    """Name of the source's split that becomes the index's `test`."""
    on_bad_box: Literal["fail", "drop"] = "fail"
    """What a bad box does: stop the pipeline, or be listed and left out of the index. Bad images
    and splits always stop it."""
    min_box_px: float = 1.0
    """Both sides of a box must be longer than this, pixels. (A VOC box with xmin = xmax is one
    pixel wide: a click, hardly an object.)"""

    def __post_init__(self) -> None:
        for key in ("train", "test"):
            name = getattr(self, key)
            if not name or name.startswith(".") or "/" in name or "\\" in name:
                raise ValueError(f"{key}: {name!r} is not the name of a split; give a plain name")
        if not (math.isfinite(self.min_box_px) and self.min_box_px >= 0):
            raise ValueError(f"min_box_px: {self.min_box_px} is not possible; 0 or more pixels")
