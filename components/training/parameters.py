"""Parameters of the training loop. Free of torch, so that a command line shows them at once."""

from dataclasses import dataclass
from typing import Literal

from models.checks import check_at_least, check_at_most, check_positive, check_seed
from models.parameters import RoITargetParameters

TrainedConvs = Literal["upper", "all", "none"]

MOST_ITERATIONS = 10**9
"""Iterations are numbered in memory beforehand; a billion is days even of an empty loop."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SolverParameters:
    """The optimizer and its schedule; the defaults are the papers' (Fast R-CNN, 2.3)."""

    optimizer: Literal["sgd", "adamw"] = "sgd"
    """SGD with momentum (the papers'), or AdamW (Loshchilov & Hutter 2019) for short trainings."""
    lr: float = 0.001
    """Initial learning rate of weights; biases take twice this."""
    iterations: int = 80000
    """Mini-batches to train on (VOC07: 80000 for the RPN, 40000 for the detector)."""
    lr_drops: tuple[int, ...] = (60000,)
    """Iterations after which the learning rate is divided by 10 (VOC07: 60000 and 30000)."""
    warmup_iterations: int = 0
    """Iterations over which the learning rate grows linearly from 0 (the papers: none)."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of convs and linear layers in training; weights, boxes and losses are float32 always.
    bfloat16 pays on a GPU, and on a CPU with AVX512-BF16 or AMX."""
    momentum: float = 0.9
    """Of SGD."""
    weight_decay: float = 0.0005
    """Of weights; biases have none."""
    images_per_batch: int = 2
    """N, images a mini-batch (Faster R-CNN trains the RPN with 1, Fast R-CNN with 2)."""
    flip: bool = True
    """Mirror each image with probability 0.5: the papers' only augmentation."""
    seed: int = 1
    """Of initialisation, order, mirroring and sampling."""
    workers: int = -1
    """Processes that decode images; the result does not depend on them. -1 takes one on a CPU, and
    with a GPU one for each core but one, up to 8."""
    log_every: int = 20
    """Iterations between two lines of the loss curve; losses are checked at each."""
    checkpoint_every: int = 500
    """Iterations between two resumable checkpoints in the scratch folder."""
    checkpoint_seconds: float = 120.0
    """Seconds after which such a checkpoint is due all the same. One that takes long to write waits
    ten times as long; with several processes it waits for the next line of the curve."""

    def __post_init__(self) -> None:
        check_positive(self, "lr", "iterations", "images_per_batch", "log_every")
        check_positive(self, "lr_drops", "checkpoint_every", "checkpoint_seconds")
        for name in ("warmup_iterations", "momentum", "weight_decay"):
            check_at_least(self, name, 0)
        check_at_least(self, "workers", -1)
        if self.momentum >= 1:
            raise ValueError(f"momentum: {self.momentum} is not allowed, it must be below 1")
        check_at_most(self, "iterations", MOST_ITERATIONS)
        check_seed(self)
        if list(self.lr_drops) != sorted(set(self.lr_drops)):
            raise ValueError(f"lr_drops: {self.lr_drops} must rise; sort them, each once")


def check_rois(name: str, targets: RoITargetParameters, solver: SolverParameters) -> None:
    """Refuse mini-batches whose images get no RoI, or no foreground RoI, each.

    Raises:
        ValueError: beginning with the setting's name in the group ``name``.
    """
    images = solver.images_per_batch
    each = targets.rois_per_batch // images
    if each == 0:
        raise ValueError(
            f"{name}.rois_per_batch: {targets.rois_per_batch} is less than one for each of "
            f"solver.images_per_batch {images} images; raise it"
        )
    if int(each * targets.foreground_fraction) == 0:
        raise ValueError(
            f"{name}.foreground_fraction: {targets.foreground_fraction} of an image's {each} RoIs "
            f"(rois_per_batch {targets.rois_per_batch} over {images} images) is no foreground; "
            "raise it or rois_per_batch"
        )
