"""Run train_detector."""

from dataclasses import replace

import torch
from torch import nn

from components.dataset.index import read_index
from components.dataset.proposal_file import ProposalFile
from components.digest import path_digest
from components.errors import InputError
from components.networks.checkpoint import (
    Checkpoint,
    check_classes,
    check_parts,
    load_part,
    read_checkpoint,
)
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
    """Train the detector and its own convs from the initial ones, on given proposals.

    Raises:
        InputError: files of other classes or data; a classifier of another architecture, or one
            whose box regressors would not learn.
    """
    if stage.classifier and not stage.targets.box_loss_weight:
        raise InputError(
            "targets.box_loss_weight: with 0 the box regressors of the classifier given would "
            "learn nothing; give 1"
        )
    index = read_index(stage.index)
    initial = read_checkpoint(stage.backbone)
    check_classes(initial, index.classes)
    proposals = ProposalFile(stage.proposals)
    proposals.check(index, "train")
    torch.manual_seed(stage.solver.seed)
    network = FasterRCNN(replace(initial.architecture, roi=stage.roi))
    load_part(initial, network, "shared")
    load_part(initial, network, "detector.head")
    if stage.classifier:
        load_classifier(read_checkpoint(stage.classifier), network)
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
    if stage.classifier:
        upstream["classifier"] = path_digest(stage.classifier)
    trained = trained_parts(stage, network)
    curve = train_stage(stage, run, network, trained, [losses], dataset, upstream, TITLE)
    statistics = {
        f"target_{name}_{axis}": value
        for name, values in (("mean", detector.target_mean), ("std", detector.target_std))
        for axis, value in zip(("x", "y", "w", "h"), values.tolist(), strict=True)
    }
    write_training(stage, stage.detector, network, curve, upstream, TITLE, index, statistics)


def load_classifier(classifier: Checkpoint, network: FasterRCNN) -> None:
    """Take over a detector but for its box regressors, which start anew.

    Raises:
        InputError: it has other classes, convs or per-RoI layers than the network.
    """
    check_classes(classifier, network.architecture.classes)
    check_parts(classifier, "detector")
    if classifier.architecture != network.architecture:
        raise InputError(
            f"{classifier.path}: its architecture is {classifier.architecture}, but the backbone "
            f"and roi given here make {network.architecture}; give those it was trained with"
        )
    for part in ("shared", "detector.head", "detector.class_scores"):
        load_part(classifier, network, part)


def trained_parts(stage: TrainDetector, network: FasterRCNN) -> list[nn.Module]:
    """What learns: the detector and its convs, or the box regressors of a finished classifier."""
    detector = network.require_detector()
    if not stage.classifier:
        return [*trained_convs(network, stage.trained_convs), detector]
    network.requires_grad_(False)
    detector.box_deltas.requires_grad_(True)
    return [detector.box_deltas]
