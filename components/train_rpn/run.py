"""Run train_rpn."""

from dataclasses import replace

import torch

from components.dataset.index import read_index
from components.digest import path_digest
from components.networks.checkpoint import check_classes, load_part, read_checkpoint
from components.tracking import Run
from components.train_rpn import TrainRpn
from components.training.anchors import check_anchors
from components.training.batches import TrainingSet
from components.training.steps import rpn_losses, train_stage, trained_convs, write_training
from models.faster_rcnn import FasterRCNN

TITLE = "Step 1: train the RPN"


def run(stage: TrainRpn, run: Run) -> None:
    """Train the RPN and its convs from the initial ones."""
    index = read_index(stage.index)
    initial = read_checkpoint(stage.backbone)
    check_classes(initial, index.classes)
    check_anchors(stage.anchors, index, initial.architecture.input)
    torch.manual_seed(stage.solver.seed)
    network = FasterRCNN(replace(initial.architecture, anchors=stage.anchors))
    load_part(initial, network, "shared")
    losses = rpn_losses(network, stage.targets)
    dataset = TrainingSet(stage.data, index, initial.architecture.input)
    upstream = {"data": index.digest, "backbone": path_digest(stage.backbone)}
    trained = [*trained_convs(network, stage.trained_convs), network.require_rpn()]
    curve = train_stage(stage, run, network, trained, [losses], dataset, upstream, TITLE)
    write_training(stage, stage.rpn, network, curve, upstream, TITLE, index)
