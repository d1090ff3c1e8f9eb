"""Run train_rpn."""

from dataclasses import replace

import numpy as np
import torch

from components.dataset.index import Index, read_index
from components.dataset.resize_rule import resized_size
from components.digest import path_digest
from components.errors import InputError
from components.networks.checkpoint import check_classes, load_part, read_checkpoint
from components.tracking import Run
from components.train_rpn import TrainRpn
from components.training.batches import TrainingSet
from components.training.steps import (
    freeze_fixed,
    rpn_losses,
    train_stage,
    write_training,
)
from models.faster_rcnn import FasterRCNN
from models.parameters import InputParameters

TITLE = "Step 1: train the RPN"


def run(stage: TrainRpn, run: Run) -> None:
    """Train the RPN and its convs from the initial ones."""
    index = read_index(stage.index)
    initial = read_checkpoint(stage.backbone)
    check_classes(initial, index.classes)
    check_anchors(stage, index, initial.architecture.input)
    torch.manual_seed(stage.solver.seed)
    network = FasterRCNN(replace(initial.architecture, anchors=stage.anchors))
    load_part(initial, network, "shared")
    freeze_fixed(network)
    losses = rpn_losses(network, stage.targets)
    dataset = TrainingSet(stage.data, index, initial.architecture.input)
    upstream = {"data": index.digest, "backbone": path_digest(stage.backbone)}
    trained = [network.shared, network.require_rpn()]
    curve = train_stage(stage, run, network, trained, losses, dataset, upstream, TITLE)
    write_training(stage, stage.rpn, network, curve, upstream, TITLE, index)


def check_anchors(stage: TrainRpn, index: Index, rule: InputParameters) -> None:
    """Refuse anchors none of which lies inside any training image: none would teach the RPN.

    Raises:
        InputError: naming the anchors and the largest image, as the network sees it.
    """
    sizes = np.unique(index.sizes(index.rows("train")), axis=0)
    seen = [resized_size(int(height), int(width), rule) for height, width in sizes]
    if not any(stage.anchors.fit_inside(*size) for size in seen):
        height, width = max(seen, key=lambda size: size[0] * size[1])
        raise InputError(
            f"anchors: {stage.anchors} are all larger than each training image, of which the "
            f"largest is {width} x {height} pixels after the resize rule; give smaller "
            "anchors.scales, or a larger init_backbone.input"
        )
