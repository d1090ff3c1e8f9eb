"""Step 0: the initial convs that steps 1 and 2 both start from."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from components.contract import Input, Output, Resources
from models.checks import check_at_least, check_positive, check_seed
from models.parameters import BackboneName, InputParameters


@dataclass(frozen=True, kw_only=True, slots=True)
class CropParameters:
    """Pretraining by classifying the training split's objects, cropped (weights: crops)."""

    size: int = 48
    """Side to which a crop is resized, in pixels."""
    epochs: int = 30
    """Passes over the crops."""
    batch_size: int = 64
    """Crops a mini-batch."""
    lr: float = 0.003
    """Peak learning rate of AdamW, one cycle."""

    def __post_init__(self) -> None:
        check_at_least(self, "size", 16)
        check_positive(self, "epochs", "batch_size", "lr")


@dataclass(frozen=True, kw_only=True, slots=True)
class InitBackbone:
    """Step 0: write the classifier's convs that steps 1 and 2 start from.

    The papers start from an ImageNet classifier: `torchvision` downloads one by the backbone's
    name, a path reads a local file. Without either, `crops` trains the classifier on the
    objects of the training split, and `none` starts at random.
    """

    resources: ClassVar[Resources] = Resources(gpu=True)

    data: Annotated[Path, Input("Dataset")]
    """Data set folder, in COCO or Pascal VOC layout."""
    index: Annotated[Path, Input("Dataset")]
    """Index of the data set, from validate_data."""
    backbone: Annotated[Path, Output("Model")]
    """Checkpoint of the initial convs and per-RoI head."""
    metrics: Annotated[Path, Output("Metrics", detail=True)]
    """Parameter counts; accuracy and loss of the pretraining, if any."""

    name: BackboneName = "vgg16"
    """Backbone."""
    weights: str = "torchvision"
    """none, crops, torchvision, or the path of a safetensors or state-dict file."""
    sha256: str = ""
    """If given, the weights file must have this SHA-256."""
    input: InputParameters = field(default_factory=InputParameters)
    crops: CropParameters = field(default_factory=CropParameters)
    seed: int = 1
    """Of random initialisation and of the pretraining."""

    def __post_init__(self) -> None:
        check_seed(self)
        if not self.weights:
            raise ValueError("weights: is empty; use none, crops, torchvision or a file's path")
