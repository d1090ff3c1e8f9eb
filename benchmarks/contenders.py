"""Training steps of both sides as contenders of `benchmarks.timing.interleaved`."""

import copy
from collections.abc import Callable, Iterable, Mapping
from itertools import repeat

from torch import nn

from benchmarks.budget import Budget
from benchmarks.ours import PROPOSALS, Part, build_network, timed_training, trained_parts
from benchmarks.scenes import CLASSES, batch_of
from benchmarks.timing import Seconds, Times
from benchmarks.twin import timed_twin, torchvision_twin, twin_optimizer
from components.training.batches import Batch
from components.training.loop import Losses
from components.training.parameters import SolverParameters
from models.faster_rcnn import FasterRCNN
from models.parameters import BackboneName, DetectionParameters

PARTS: Mapping[str, Part] = {"step 1": "rpn", "step 2": "detector"}
"""What the two full training steps train beside the convs."""
IMAGES = 2
"""N, images a mini-batch."""
SKIPPED, COUNTED = 1, 2
"""Iterations of one turn: the first makes the optimizer's state, the rest count."""
DETECTION = DetectionParameters(nms_iou=0.5)
"""As in presets/bccd.yaml."""

Batches = Callable[[int], Iterable[Batch]]


def in_memory(budget: Budget) -> Batches:
    """The same mini-batch of scenes again and again, already decoded."""
    batch = batch_of(IMAGES, budget.size)
    return lambda count: repeat(batch, count)


def our_step(
    network: FasterRCNN,
    part: Part,
    batches: Batches,
    turn: int = COUNTED,
    skipped: int = SKIPPED,
    solver: SolverParameters | None = None,
) -> Seconds:
    """Step 1 (``rpn``) or step 2 (``detector``) of ours, by the project's own loop."""
    return timed_steps(network, *trained_parts(network, part), batches, turn, skipped, solver)


def timed_steps(
    network: FasterRCNN,
    trained: list[nn.Module],
    losses: Losses,
    batches: Batches,
    turn: int = COUNTED,
    skipped: int = SKIPPED,
    solver: SolverParameters | None = None,
) -> Seconds:
    """Any training of ours as a contender."""
    count = skipped + turn

    def seconds() -> float:
        laps, _ = timed_training(network, trained, losses, batches(count), count, solver)
        return laps.iterations(skipped)

    return seconds


def their_step(
    network: FasterRCNN,
    batches: Batches,
    budget: Budget,
    turn: int = COUNTED,
    skipped: int = SKIPPED,
    solver: SolverParameters | None = None,
) -> Seconds:
    """The joint training step of the network's twin."""
    twin = torchvision_twin(network, PROPOSALS, DETECTION).to(budget.device)
    optimizer = twin_optimizer(twin)

    def seconds() -> float:
        laps, _ = timed_twin(twin, optimizer, batches(skipped + turn), solver)
        return laps.iterations(skipped)

    return seconds


def full_steps(name: BackboneName, budget: Budget, batches: Batches) -> dict[str, Seconds]:
    """Steps 1 and 2 of ours and torchvision's joint step, from the same weights."""
    network = build_network(name, budget.size, CLASSES)
    return {
        "joint": their_step(network, batches, budget),
        "step 1": our_step(copy.deepcopy(network), "rpn", batches),
        "step 2": our_step(network, "detector", batches),
    }


def mean_of_steps(times: Times) -> list[float]:
    """Seconds of a step of ours: the mean of steps 1 and 2, which take as many iterations.

    In images a second this is their harmonic mean.
    """
    return [(a + b) / 2 for a, b in zip(times["step 1"], times["step 2"], strict=True)]
