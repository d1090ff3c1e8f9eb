"""Goal 2: steps 3 and 4 on features that are read back, against the same steps with the convs."""

import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.budget import Budget
from benchmarks.contenders import IMAGES, timed_steps
from benchmarks.disk import loaded, scene_files
from benchmarks.ours import SOLVER, Part, build_network
from benchmarks.rows import rate_row
from benchmarks.scenes import CLASSES
from benchmarks.table import Row
from benchmarks.timing import Seconds, interleaved, quiet
from components.dataset.index import Index
from components.dataset.proposal_file import ProposalFile
from components.finetune import Finetune
from components.finetune.run import open_features, trained_part
from components.networks.device import on_device
from components.training.batches import TrainingSet
from models.faster_rcnn import FasterRCNN
from models.parameters import BackboneName, RoITargetParameters

FILES = 4
TURN = 1
"""Iterations of a turn that count: with the convs of VGG16 one takes many seconds."""
TARGETS: dict[BackboneName, float] = {"mobilenet_v2": 1.0, "resnet50": 5.0, "vgg16": 5.0}
NOTE = (
    "images a second of ours with features read back (ours) and with the convs run (theirs); "
    "reading of images and features included, in the training process itself (workers 0); the "
    "feature file is in the page cache"
)


def run(budget: Budget) -> list[Row]:
    """A row for each network and step; images 600 wide or 480 high as each is trained."""
    names = budget.networks if budget.quick else tuple(TARGETS)
    rows = []
    for name in names:
        size = budget.size if budget.quick or name == "mobilenet_v2" else (600, 800)
        rows += measure(name, size, budget.share(len(names)))
    return rows


def measure(name: BackboneName, size: tuple[int, int], seconds: float) -> list[Row]:
    """The rows of one network."""
    network = on_device(build_network(name, size, CLASSES))
    network.shared.requires_grad_(False)
    rows = []
    parts: tuple[tuple[int, Part], ...] = ((3, "rpn"), (4, "detector"))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        index, proposals = scene_files(folder, FILES, size)
        for step, part in parts:
            contenders = {
                kind: finetuning(network, finetune_stage(folder, part, room), index, proposals)
                for kind, room in (("theirs", 0.0), ("ours", 50.0))
            }
            times = interleaved(contenders, seconds / 2)
            rows.append(
                rate_row(
                    f"frozen_features, {name} {size[0]}, step {step}",
                    2,
                    times["ours"],
                    times["theirs"],
                    IMAGES,
                    target=TARGETS[name],
                    note=NOTE,
                )
            )
    return rows


def finetune_stage(folder: Path, part: Part, room: float) -> Finetune:
    """The stage with so many GB for features; of its files only the scratch folder is used."""
    unused = folder / "unused"
    targets = RoITargetParameters(background_iou_low=0.0 if part == "detector" else 0.1)
    return Finetune(
        data=folder,
        index=unused,
        detector=unused,
        rpn=unused,
        proposals=unused,
        network=unused,
        metrics=unused,
        curve=unused,
        page=unused,
        scratch=folder / f"scratch-{room:g}",
        part=part,
        feature_cache_gb=room,
        roi_targets=targets,
        solver=replace(SOLVER, iterations=8 * FILES, lr_drops=(8 * FILES,), flip=False, workers=0),
    )


def finetuning(
    network: FasterRCNN, stage: Finetune, index: Index, proposals: ProposalFile
) -> Seconds:
    """A training step of the stage, as its own functions make it."""
    with quiet():
        features = open_features(stage, network, index, "benchmark")
    given = proposals if stage.part == "detector" else None
    dataset = TrainingSet(stage.data, index, network.architecture.input, given, features)
    part, losses = trained_part(stage, network)
    batches = loaded(dataset, workers=0, flip=False)
    return timed_steps(network, [part], losses, batches, TURN)
