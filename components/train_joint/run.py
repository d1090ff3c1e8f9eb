"""Run train_joint."""

from dataclasses import replace

import torch

from components.dataset.index import read_index
from components.digest import path_digest
from components.networks.checkpoint import check_classes, load_part, read_checkpoint
from components.tracking import Run
from components.train_joint import TrainJoint
from components.train_joint.updates import updates
from components.training.anchors import check_anchors
from components.training.batches import TrainingSet
from components.training.steps import train_stage, trained_convs, write_training
from models.faster_rcnn import FasterRCNN

TITLES = {
    "joint": "Train RPN and detector jointly",
    "per_batch": "Train RPN and detector in turn, batch by batch",
}


def run(stage: TrainJoint, run: Run) -> None:
    """Train both parts and their shared convs from the initial ones."""
    index = read_index(stage.index)
    initial = read_checkpoint(stage.backbone)
    check_classes(initial, index.classes)
    rule = initial.architecture.input
    check_anchors(stage.anchors, index, rule)
    torch.manual_seed(stage.solver.seed)
    network = FasterRCNN(replace(initial.architecture, anchors=stage.anchors, roi=stage.roi))
    load_part(initial, network, "shared")
    load_part(initial, network, "detector.head")
    parts = [network.require_rpn(), network.require_detector()]
    trained = [*trained_convs(network, stage.trained_convs), *parts]
    dataset = TrainingSet(stage.data, index, rule)
    upstream = {"data": index.digest, "backbone": path_digest(stage.backbone)}
    title = TITLES[stage.schedule]
    steps = updates(stage, network)
    curve = train_stage(stage, run, network, trained, steps, dataset, upstream, title)
    write_training(stage, stage.network, network, curve, upstream, title, index)
