"""Goal 3: all four steps of the bccd preset against torchvision's joint training, computed.

Both are the sums of what one iteration or image takes, measured here with data loading and
multiplied by the preset's numbers. ``python -m benchmarks bccd`` trains both for real.
"""

import copy
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.budget import Budget
from benchmarks.contenders import our_step, their_step, timed_steps
from benchmarks.disk import loaded, scene_files
from benchmarks.frozen_features import finetune_stage
from benchmarks.ours import PROPOSALS, build_network
from benchmarks.scenes import CLASSES
from benchmarks.table import Row
from benchmarks.timing import Seconds, Times, interleaved, quiet, summary
from components.dataset.index import Index
from components.dataset.proposal_file import ProposalFile
from components.dataset.workers import USUAL
from components.finetune.run import open_features, trained_part
from components.networks.device import on_device
from components.networks.inference import propose_split
from components.training.batches import TrainingSet
from models.faster_rcnn import FasterRCNN

ITERATIONS, TRAINING_IMAGES = 1168, 292
"""Of each step in presets/bccd.yaml: 8 epochs, N = 2."""
FILES = 16
SKIPPED, TURN = 6, 6
"""Iterations of a turn: those that read what the loader had ready at the start do not count."""
NOTE = (
    "COMPUTED from measured medians: seconds of 1168 iterations of each step with data loading, "
    "proposals of 292 images twice, features of 584 images and mirror images twice; "
    "theirs: 1168 joint steps with the same loader. Start-up of the stages is not in it"
)


def run(budget: Budget) -> list[Row]:
    """One row: seconds of both trainings."""
    with tempfile.TemporaryDirectory() as place:
        folder, files = Path(place), 4 if budget.quick else FILES
        index, proposals = scene_files(folder, files, budget.size)
        times = interleaved(
            contenders(folder, index, proposals, budget), budget.share(1), warm_up=0
        )
    ours, theirs = our_seconds(times), [ITERATIONS * joint for joint in times["joint"]]
    quotient = summary([a / b for a, b in zip(theirs, ours, strict=True)])
    row = Row(
        name=f"four_steps, mobilenet_v2 {budget.size[0]}, bccd preset",
        goal=3,
        ours=summary(ours).median,
        theirs=summary(theirs).median,
        unit="s",
        ratio=quotient.median,
        spread=(quotient.low, quotient.high),
        target=1.0,
        note=NOTE,
    )
    return [row, *(part_row(name, values) for name, values in times.items())]


def our_seconds(times: Times) -> list[float]:
    """Seconds of our four steps, by round."""
    steps = (times[f"step {number}"] for number in (1, 2, 3, 4))
    iterations = [ITERATIONS * sum(parts) for parts in zip(*steps, strict=True)]
    once = zip(times["proposals"], times["features"], strict=True)
    other = [2 * TRAINING_IMAGES * (proposing + 2 * convs) for proposing, convs in once]
    return [a + b for a, b in zip(iterations, other, strict=True)]


def part_row(name: str, values: Sequence[float]) -> Row:
    """One of the measured parts."""
    found = summary([1000 * value for value in values])
    return Row(
        name=f"four_steps, {name}",
        goal=None,
        ours=found.median,
        unit="ms/image" if name in ("proposals", "features") else "ms/step",
        spread=(found.low, found.high),
    )


def contenders(
    folder: Path, index: Index, proposals: ProposalFile, budget: Budget
) -> dict[str, Seconds]:
    """Each part of both trainings, with its data read from files."""
    network = build_network("mobilenet_v2", budget.size, CLASSES)
    rule = network.architecture.input
    images = loaded(TrainingSet(folder, index, rule))
    with_proposals = loaded(TrainingSet(folder, index, rule, proposals))
    turn, skipped = (1, 1) if budget.quick else (TURN, SKIPPED)
    return {
        "joint": their_step(network, images, budget, turn, skipped),
        "step 1": our_step(copy.deepcopy(network), "rpn", images, turn, skipped),
        "step 2": our_step(copy.deepcopy(network), "detector", with_proposals, turn, skipped),
        "step 3": finetuning(network, folder, index, None, turn, skipped),
        "step 4": finetuning(network, folder, index, proposals, turn, skipped),
        "proposals": lambda: proposing(copy.deepcopy(network), folder, index),
        "features": lambda: computing(network, folder, index),
    }


def finetuning(
    network: FasterRCNN,
    folder: Path,
    index: Index,
    proposals: ProposalFile | None,
    turn: int,
    skipped: int,
) -> Seconds:
    """A step of the stage finetune on features that are already kept."""
    network = on_device(copy.deepcopy(network))
    network.shared.requires_grad_(False)
    stage = finetune_stage(folder, "rpn" if proposals is None else "detector", 50.0)
    stage = replace(stage, solver=replace(stage.solver, iterations=8 * len(index.table)))
    with quiet():
        features = open_features(stage, network, index, "benchmark")
    dataset = TrainingSet(folder, index, network.architecture.input, proposals, features)
    part, losses = trained_part(stage, network)
    return timed_steps(network, [part], losses, loaded(dataset, flip=False), turn, skipped)


def proposing(network: FasterRCNN, folder: Path, index: Index) -> float:
    """Seconds an image of the stage generate_proposals' work, from its first image to its last."""
    with quiet():
        found = propose_split(network, folder, index, "train", proposals=PROPOSALS)
        times = [time.perf_counter() for _ in found]
    return (times[-1] - times[0]) / (len(times) - 1)


def computing(network: FasterRCNN, folder: Path, index: Index) -> float:
    """Seconds an image of computing and writing features, in a new folder."""
    network = on_device(copy.deepcopy(network))
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        stage = replace(finetune_stage(folder, "rpn", 50.0), scratch=Path(scratch))
        solver = replace(stage.solver, iterations=8 * len(index.table), workers=USUAL)
        stage = replace(stage, solver=solver)
        start = time.perf_counter()
        with quiet():
            open_features(stage, network, index, "benchmark")
        return (time.perf_counter() - start) / len(index.table)
