"""Run finetune."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from components.contract import UNFINISHED
from components.dataset.index import Index, read_index
from components.dataset.proposal_file import ProposalFile
from components.digest import path_digest, value_digest
from components.errors import InputError
from components.finetune import Finetune
from components.networks.checkpoint import (
    Checkpoint,
    check_alike,
    check_classes,
    check_parts,
    load_part,
    read_checkpoint,
)
from components.networks.device import default_device, on_device
from components.tracking import Run
from components.training.batches import TrainingSet, training_picks
from components.training.feature_plan import FeaturePlan, plan_features
from components.training.features import (
    LEFT_FREE,
    FeatureCache,
    FeatureFolder,
    cached_features,
    feature_type,
)
from components.training.loop import Losses
from components.training.solver import in_precision
from components.training.steps import (
    detector_losses,
    rpn_losses,
    train_stage,
    write_training,
)
from models.faster_rcnn import FasterRCNN

TITLES = {"rpn": "Step 3: fine-tune the RPN", "detector": "Step 4: fine-tune the detector"}


def run(stage: Finetune, run: Run) -> None:
    """Train one part on fixed shared convs."""
    index = read_index(stage.index)
    held_by = stage.detector or stage.rpn
    rpn, detector = read_checkpoint(stage.rpn), read_checkpoint(held_by)
    for checkpoint in (rpn, detector):
        check_classes(checkpoint, index.classes)
    upstream = {"data": index.digest, "rpn": path_digest(stage.rpn)}
    if stage.detector:
        upstream["detector"] = path_digest(stage.detector)
    if stage.proposals:
        upstream["proposals"] = path_digest(stage.proposals)
    proposals = open_proposals(stage, index, upstream["rpn"])
    network = build_network(stage, rpn, detector)
    network.shared.requires_grad_(False)
    with in_precision(stage.solver):
        features = open_features(stage, network, index, path_digest(held_by))
    dataset = TrainingSet(stage.data, index, network.architecture.input, proposals, features)
    part, losses = trained_part(stage, network)
    title = TITLES[stage.part]
    curve = train_stage(stage, run, network, [part], [losses], dataset, upstream, title)
    write_training(stage, stage.network, network, curve, upstream, title, index)


def open_proposals(stage: Finetune, index: Index, rpn_digest: str) -> ProposalFile | None:
    """The proposals for part detector, checked to be this RPN's on this data."""
    if stage.part == "rpn" or stage.proposals is None:
        return None
    proposals = ProposalFile(stage.proposals)
    proposals.check(index, "train", rpn_digest)
    return proposals


def build_network(stage: Finetune, rpn: Checkpoint, detector: Checkpoint) -> FasterRCNN:
    """The network with both parts: the detector's convs, each part kept or new.

    Raises:
        InputError: a checkpoint lacks its part; they differ in backbone or resize rule; or part
            detector is asked for an RPN that was trained on other convs than the detector's.
    """
    check_parts(rpn, "rpn")
    check_parts(detector, "detector")
    check_alike(detector, rpn)
    torch.manual_seed(stage.solver.seed)
    network = FasterRCNN(replace(detector.architecture, anchors=rpn.architecture.anchors))
    load_part(detector, network, "shared")
    if stage.part == "detector":
        check_shared(network, rpn)
    random = stage.init == "random" or (stage.init == "paper" and stage.part == "rpn")
    if not (random and stage.part == "rpn"):
        load_part(rpn, network, "rpn")
    if not (random and stage.part == "detector"):
        load_part(detector, network, "detector")
    return network


def check_shared(network: FasterRCNN, rpn: Checkpoint) -> None:
    """Refuse an RPN whose convs are not the network's shared ones.

    Raises:
        InputError: naming the checkpoint and the first tensor that differs.
    """
    other = FasterRCNN(rpn.architecture)
    load_part(rpn, other, "shared")
    for name, tensor in network.shared.state_dict().items():
        if not torch.equal(tensor, other.shared.state_dict()[name]):
            raise InputError(
                f"{rpn.path}: its convs are not the detector's ('{name}' differs); fine-tune the "
                "RPN on this detector first"
            )


def open_features(
    stage: Finetune, network: FasterRCNN, index: Index, detector_digest: str
) -> FeatureCache:
    """The frozen features that are worth keeping and have room, computed where they are missing."""
    on_device(network).eval()
    solver = stage.solver
    picks = training_picks(
        index,
        split="train",
        batch_size=solver.images_per_batch,
        last=solver.iterations,
        flip=solver.flip,
        seed=solver.seed,
        levels=len(network.architecture.input.levels),
    )
    plan = plan_features(network, index, picks, feature_type(network))
    made_by = [torch.__version__, default_device().type, str(plan.dtype)]
    key = value_digest([index.digest, detector_digest, made_by, plan.codes.tolist()])
    folder = FeatureFolder(stage.scratch / UNFINISHED / "features", key)
    folder.open()
    free = folder.free()
    kept = plan.fitting(min(stage.feature_cache_gb * 1e9, free))
    print(describe(plan, kept, folder.file), limits(plan, kept, stage.feature_cache_gb, free / 1e9))
    return cached_features(folder, plan, kept, network, stage.data, index, solver.workers)


def describe(plan: FeaturePlan, kept: int, file: Path) -> str:
    """What the frozen features take, where, and for how many readings the convs run."""
    return (
        f"frozen features: {kept} of {len(plan.codes)} images and mirror images that are read more "
        f"than once are kept, {plan.offsets[kept] / 1e9:.3f} GB in {file}. "
        f"In training, the convs run for {plan.computed_share(kept):.1%} of the {plan.all_reads} "
        "readings."
    )


def limits(plan: FeaturePlan, kept: int, limit_gb: float, free_gb: float) -> str:
    """What keeps the rest of the features from being kept, or nothing."""
    if kept == len(plan.codes):
        return ""
    all_gb = f"All would take {plan.size / 1e9:.3f} GB; "
    if limit_gb <= free_gb:
        return f"{all_gb}finetune's feature_cache_gb is {limit_gb:g}."
    return (
        f"{all_gb}the disk has {free_gb:.3f} GB for them, beside {LEFT_FREE / 1e9:g} GB that are "
        "left to checkpoints."
    )


def trained_part(stage: Finetune, network: FasterRCNN) -> tuple[nn.Module, Losses]:
    """What learns, and its losses: the RPN in step 3, the detector in step 4."""
    if stage.part == "rpn":
        return network.require_rpn(), rpn_losses(network, stage.rpn_targets)
    return network.require_detector(), detector_losses(network, stage.roi_targets)
