"""Run train_detector."""

from dataclasses import replace

import torch

from components.dataset.index import read_index
from components.dataset.proposal_file import ProposalFile
from components.digest import path_digest
from components.networks.checkpoint import check_classes, load_part, read_checkpoint
from components.tracking import Run
from components.train_detector import TrainDetector
from components.train_detector.target_statistics import box_target_statistics
from components.training.batches import TrainingSet
from components.training.steps import (
    detector_losses,
    train_stage,
    trained_convs,
    write_training,
)
from models.faster_rcnn import FasterRCNN

TITLE = "Step 2: train the detector"


def run(stage: TrainDetector, run: Run) -> None:
    """Train the detector and its own convs from the initial ones, on given proposals."""
    index = read_index(stage.index)
    initial = read_checkpoint(stage.backbone)
    check_classes(initial, index.classes)
    proposals = ProposalFile(stage.proposals)
    proposals.check(index.digest)
    torch.manual_seed(stage.solver.seed)
    network = FasterRCNN(replace(initial.architecture, roi=stage.roi))
    load_part(initial, network, "shared")
    load_part(initial, network, "detector.head")
    detector = network.require_detector()
    if stage.target_statistics == "computed":
        mean, std = box_target_statistics(index, proposals, stage.targets.foreground_iou)
        detector.target_mean.copy_(mean)
        detector.target_std.copy_(std)

    losses = detector_losses(network, stage.targets)
    dataset = TrainingSet(stage.data, index, initial.architecture.input, proposals)
    upstream = {
        "data": index.digest,
        "backbone": path_digest(stage.backbone),
        "proposals": path_digest(stage.proposals),
    }
    trained = [*trained_convs(network, stage.trained_convs), detector]
    curve = train_stage(stage, run, network, trained, [losses], dataset, upstream, TITLE)
    statistics = {
        f"target_{name}_{axis}": value
        for name, values in (("mean", detector.target_mean), ("std", detector.target_std))
        for axis, value in zip(("x", "y", "w", "h"), values.tolist(), strict=True)
    }
    write_training(stage, stage.detector, network, curve, upstream, TITLE, index, statistics)
