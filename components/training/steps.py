"""What the training stages have in common: open, train, write."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from components.contract import UNFINISHED, parameters
from components.dataset.index import Index
from components.digest import value_digest
from components.metrics import write_curve, write_metrics
from components.networks.checkpoint import save_checkpoint
from components.processes import this_process
from components.tracking import Run
from components.training.batches import Batch, TrainingSet, training_batches
from components.training.distributed import this_share, together
from components.training.features import stacked_features
from components.training.loop import Losses, train
from components.training.page import TrainingPage, write_training_page
from components.training.parameters import TrainedConvs
from components.training.resume import Curve, ResumePoint
from models.faster_rcnn import FasterRCNN
from models.parameters import RoITargetParameters, RPNTargetParameters

WITHOUT_EFFECT = (
    "feature_cache_gb",
    "solver.workers",
    "solver.checkpoint_every",
    "solver.checkpoint_seconds",
)
"""Parameters that may change while a training is interrupted: its result is the same."""


def first_blocks(network: FasterRCNN) -> tuple[str, ...]:
    """How the names of a pretrained backbone's first convs begin; nothing without pretraining."""
    return network.fixed if network.architecture.norm == "frozen" else ()


def trained_convs(network: FasterRCNN, which: TrainedConvs) -> list[nn.Module]:
    """The shared convs, if any of them learn; the others are fixed.

    ``upper`` fixes a pretrained backbone's first blocks (VGG16: conv1 and conv2).
    """
    if which == "none":
        network.shared.requires_grad_(False)
        return []
    fixed = first_blocks(network) if which == "upper" else ()
    for name, parameter in network.shared.named_parameters():
        parameter.requires_grad_(not name.startswith(fixed))
    return [network.shared]


def shared_features(network: FasterRCNN, batch: Batch) -> Tensor:
    """The features of a batch: of images that are still alone as they are kept, or computed."""
    if batch.alone:
        return stacked_features(network, batch.alone)
    return network.features(batch.images)


def rpn_losses(network: FasterRCNN, targets: RPNTargetParameters) -> Losses:
    """The RPN's losses of a batch, for steps 1 and 3."""
    rpn, share = network.require_rpn(), this_share()

    def losses(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        features = shared_features(network, batch)
        return rpn.losses(features, batch.sizes, batch.boxes, targets, generator, share)

    return losses


def detector_losses(network: FasterRCNN, targets: RoITargetParameters) -> Losses:
    """The detector's losses of a batch, for steps 2 and 4."""
    detector, share = network.require_detector(), this_share()

    def losses(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        features = shared_features(network, batch)
        rois, truth = (batch.proposals, batch.valid), (batch.boxes, batch.labels)
        return detector.losses(features, *rois, *truth, targets, generator, share)

    return losses


def train_stage(
    stage: Any,
    run: Run,
    network: FasterRCNN,
    trained: list[nn.Module],
    updates: Sequence[Losses],
    dataset: TrainingSet,
    upstream: dict[str, str],
    title: str,
) -> Curve:
    """Run the training loop for a stage, resumable from its scratch folder."""
    solver = stage.solver
    with together():
        return train(
            network,
            trained,
            updates,
            lambda first, last: training_batches(
                dataset,
                split="train",
                batch_size=solver.images_per_batch,
                first=first,
                last=last,
                flip=solver.flip,
                seed=solver.seed,
                workers=solver.workers,
            ),
            solver,
            ResumePoint(
                stage.scratch / UNFINISHED / "resume.safetensors", resume_key(stage, upstream)
            ),
            run,
            title,
        )


def resume_key(stage: Any, upstream: dict[str, str]) -> str:
    """The digest of all that decides a training."""
    return value_digest([decisive_parameters(stage), upstream])


def decisive_parameters(stage: Any) -> dict[str, Any]:
    """The parameters that a training's result depends on; a checkpoint names no others."""
    return {k: v for k, v in parameters(stage).items() if k not in WITHOUT_EFFECT}


def write_training(
    stage: Any,
    checkpoint: Path,
    network: FasterRCNN,
    curve: Curve,
    upstream: dict[str, str],
    title: str,
    index: Index,
    statistics: dict[str, float] | None = None,
) -> None:
    """Write a training stage's checkpoint, loss curve, metrics and page: the first process does."""
    if not this_process().first:
        return
    save_checkpoint(
        checkpoint, network.state_dict(), network.architecture, decisive_parameters(stage), upstream
    )
    write_curve(stage.curve, curve)
    metrics = curve[-1] | (statistics or {})
    write_metrics(stage.metrics, metrics)
    page = TrainingPage(title, network.architecture, index, curve, metrics)
    write_training_page(stage.page, page)
