"""What `solver.precision: bfloat16` gains in a training step, ours and torchvision's.

python -m benchmarks precision
"""

import copy
from dataclasses import replace

import torch

from benchmarks.budget import Budget
from benchmarks.contenders import (
    COUNTED,
    DETECTION,
    IMAGES,
    SKIPPED,
    Batches,
    in_memory,
    our_step,
    their_step,
)
from benchmarks.ours import (
    PROPOSALS,
    SOLVER,
    Part,
    build_network,
    timed_training,
    trained_parts,
)
from benchmarks.rows import rate_row
from benchmarks.scenes import CLASSES
from benchmarks.table import Row
from benchmarks.timing import Seconds, Times, interleaved
from benchmarks.twin import timed_twin, torchvision_twin, twin_optimizer
from models.faster_rcnn import FasterRCNN
from models.parameters import BackboneName

ITERATIONS = SKIPPED + COUNTED
BFLOAT16 = replace(SOLVER, precision="bfloat16")
"""As in presets/bccd.yaml but for the precision."""
GAIN = "ours: bfloat16 autocast, theirs: float32 of the same step; else as training_step"
AGAINST = "bfloat16 autocast on both sides; ours is the mean time of steps 1 and 2"


def run(budget: Budget) -> list[Row]:
    """Images a second of each step in both precisions, and of ours against torchvision's."""
    seconds = budget.share(len(budget.networks))
    return [row for name in budget.networks for row in measure(name, budget, seconds)]


def measure(name: BackboneName, budget: Budget, seconds: float) -> list[Row]:
    """The rows of one network."""
    times = interleaved(contenders(name, budget), seconds)
    title = f"precision, {name} {budget.size[0]}"
    rows = [
        rate_row(
            f"{title}, {step}", None, times[f"{step} bfloat16"], times[step], IMAGES, note=GAIN
        )
        for step in ("step 1", "step 2", "joint")
    ]
    ours = mean_in_bfloat16(times)
    against = rate_row(f"{title}, both", None, ours, times["joint bfloat16"], IMAGES, note=AGAINST)
    return [*rows, against]


def contenders(name: BackboneName, budget: Budget) -> dict[str, Seconds]:
    """Steps 1 and 2 of ours and torchvision's joint step, in both precisions."""
    network = build_network(name, budget.size, CLASSES)
    batches = in_memory(budget)
    return {
        "joint": their_step(network, batches, budget),
        "joint bfloat16": their_bfloat16_step(network, batches, budget),
        "step 1": our_step(copy.deepcopy(network), "rpn", batches),
        "step 1 bfloat16": our_bfloat16_step(copy.deepcopy(network), "rpn", batches),
        "step 2": our_step(copy.deepcopy(network), "detector", batches),
        "step 2 bfloat16": our_bfloat16_step(copy.deepcopy(network), "detector", batches),
    }


def our_bfloat16_step(network: FasterRCNN, part: Part, batches: Batches) -> Seconds:
    """Step 1 or 2 of ours in bfloat16, by the project's own loop."""
    trained, losses = trained_parts(network, part)

    def seconds() -> float:
        mini_batches = batches(ITERATIONS)
        laps, _ = timed_training(network, trained, losses, mini_batches, ITERATIONS, BFLOAT16)
        return laps.iterations(SKIPPED)

    return seconds


def their_bfloat16_step(network: FasterRCNN, batches: Batches, budget: Budget) -> Seconds:
    """The joint step of the network's twin, its forward pass in bfloat16."""
    twin = torchvision_twin(network, PROPOSALS, DETECTION).to(budget.device)
    optimizer = twin_optimizer(twin)
    in_bfloat16 = torch.autocast(budget.device, torch.bfloat16, cache_enabled=False)
    twin.forward = in_bfloat16(twin.forward)

    def seconds() -> float:
        laps, _ = timed_twin(twin, optimizer, batches(ITERATIONS))
        return laps.iterations(SKIPPED)

    return seconds


def mean_in_bfloat16(times: Times) -> list[float]:
    """Seconds of a step of ours: the mean of steps 1 and 2."""
    pairs = zip(times["step 1 bfloat16"], times["step 2 bfloat16"], strict=True)
    return [(a + b) / 2 for a, b in pairs]
