"""The updates that one mini-batch gives RPN and detector on the convs they share."""

from functools import partial

import torch
from torch import Tensor

from components.train_joint import TrainJoint
from components.training.batches import Batch
from components.training.loop import Losses
from components.training.steps import rpn_losses
from models.faster_rcnn import FasterRCNN


def updates(stage: TrainJoint, network: FasterRCNN) -> list[Losses]:
    """One update on all losses, or one for each part: the schedule decides."""
    rpn = rpn_losses(network, stage.rpn_targets)
    if stage.schedule == "per_batch":
        return [rpn, partial(detector_update, stage, network)]
    return [partial(joint_update, stage, network)]


def joint_update(
    stage: TrainJoint, network: FasterRCNN, batch: Batch, generator: torch.Generator
) -> dict[str, Tensor]:
    """All four losses on the same features."""
    features = network.features(batch.images)
    rpn = network.require_rpn()
    terms = rpn.losses(features, batch.sizes, batch.boxes, stage.rpn_targets, generator)
    return terms | losses_on_proposals(stage, network, features, batch, generator)


def detector_update(
    stage: TrainJoint, network: FasterRCNN, batch: Batch, generator: torch.Generator
) -> dict[str, Tensor]:
    """The detector's losses on proposals of the RPN as the update before has left it."""
    features = network.features(batch.images)
    return losses_on_proposals(stage, network, features, batch, generator)


def losses_on_proposals(
    stage: TrainJoint,
    network: FasterRCNN,
    features: Tensor,
    batch: Batch,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """The detector's losses on the RPN's present proposals, which are constants to it."""
    with torch.no_grad():
        found = network.require_rpn().propose(features, batch.sizes, stage.proposals)
    return network.require_detector().losses(
        features,
        found.boxes,
        found.valid,
        batch.boxes,
        batch.labels,
        stage.roi_targets,
        generator,
    )
