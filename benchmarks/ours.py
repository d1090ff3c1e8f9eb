"""Our networks, and the project's own training loop with a clock in its batches."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.scenes import CLASSES, batch_of
from benchmarks.timing import quiet, synchronise
from components.init_backbone.weights import file_weights, load_weights
from components.networks.device import default_device
from components.tracking import Run
from components.training.batches import Batch
from components.training.loop import Losses, train
from components.training.parameters import SolverParameters
from components.training.resume import Curve, Progress, ResumePoint
from components.training.steps import detector_losses, rpn_losses, trained_convs
from models.backbones import build_backbone
from models.faster_rcnn import Architecture, FasterRCNN
from models.parameters import (
    AnchorParameters,
    BackboneName,
    InputParameters,
    ProposalParameters,
    RoIHeadParameters,
    RoITargetParameters,
    RPNTargetParameters,
)

Part = Literal["rpn", "detector"]

ANCHORS = AnchorParameters(scales=(2.0, 4.0, 8.0, 16.0))
"""As in presets/bccd.yaml."""
PROPOSALS = ProposalParameters(pre_nms=6000, post_nms=1000)
"""For training, as in presets/bccd.yaml."""
SOLVER = SolverParameters(optimizer="adamw", lr=0.0003, warmup_iterations=100, lr_drops=(876,))
"""As in presets/bccd.yaml."""


def build_network(
    name: BackboneName, size: tuple[int, int], classes: tuple[str, ...], weights: Path | None = None
) -> FasterRCNN:
    """A network with both parts for images of a size (H, W), as after init_backbone.

    Args:
        name: of the backbone.
        size: height and width of the input.
        classes: names of the classes.
        weights: pretrained ones of the backbone; without them they are random, by seed.
    """
    torch.manual_seed(1)
    architecture = Architecture(
        backbone=name,
        norm="frozen",
        classes=classes,
        input=InputParameters(short_side=min(size), long_side=max(size)),
        anchors=ANCHORS,
        roi=RoIHeadParameters(operator="align"),
    )
    network = FasterRCNN(architecture)
    backbone = build_backbone(name, "frozen")
    load_weights(backbone, file_weights(weights) if weights else random_weights(name))
    network.shared.load_state_dict(backbone.shared.state_dict())
    network.require_detector().head.load_state_dict(backbone.head.state_dict())
    trained_convs(network, "upper")
    return network


def random_weights(name: BackboneName) -> dict[str, Tensor]:
    """Random weights whose norms have the statistics of a few scenes, as after a pretraining.

    Without them activations of 50 layers vanish, and denormal numbers make every step slow.
    """
    backbone = build_backbone(name, "batch")
    images = batch_of(4, (96, 128)).images.float() / 255 - 0.5
    with torch.no_grad():
        features = backbone.shared.train()(images)
        backbone.head.train()(functional.adaptive_avg_pool2d(features, 7))
    tensors = backbone.shared.state_dict() | backbone.head.state_dict()
    return {name: value for name, value in tensors.items() if "num_batches" not in name}


def trained_parts(network: FasterRCNN, part: Part) -> tuple[list[nn.Module], Losses]:
    """What step 1 (``rpn``) or step 2 (``detector``) trains, convs included, and its losses."""
    if part == "rpn":
        losses = rpn_losses(network, RPNTargetParameters())
        return [network.shared, network.require_rpn()], losses
    losses = detector_losses(network, RoITargetParameters(background_iou_low=0.0))
    return [network.shared, network.require_detector()], losses


Item = TypeVar("Item")


@dataclass(slots=True)
class Laps:
    """When a training loop asked for each batch, and when it got it."""

    asked: list[float] = field(default_factory=list)
    delivered: list[float] = field(default_factory=list)

    def through(self, batches: Iterable[Item], device: str) -> Iterator[Item]:
        """The batches, timed; the device has always done its work when a time is taken."""
        source = iter(batches)
        while True:
            synchronise(device)
            self.asked.append(perf_counter())
            try:
                batch = next(source)
            except StopIteration:
                return
            self.delivered.append(perf_counter())
            yield batch

    def iterations(self, skip: int) -> float:
        """Mean seconds of an iteration, its wait for data included, after the first ``skip``."""
        return (self.asked[-1] - self.asked[skip]) / (len(self.asked) - 1 - skip)

    def waiting(self, skip: int) -> float:
        """Share of the time after the first ``skip`` iterations that was spent waiting for data."""
        waits = zip(self.asked[skip:], self.delivered[skip:], strict=False)
        waited = sum(delivered - asked for asked, delivered in waits)
        return waited / (self.asked[-1] - self.asked[skip])


class NoResume(ResumePoint):
    """A resume point that keeps nothing: a benchmark leaves no checkpoint."""

    def save(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        """Do nothing."""

    def load(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
        """Nothing is there."""
        return Progress()


def timed_training(
    network: FasterRCNN,
    trained: list[nn.Module],
    losses: Losses,
    batches: Iterable[Batch],
    iterations: int,
    solver: SolverParameters | None = None,
) -> tuple[Laps, Curve]:
    """Train by the project's own loop; the laps and the loss curve.

    Args:
        network: trained in place.
        trained: its parts that learn; `trained_parts` gives those of steps 1 and 2.
        losses: of a batch.
        batches: at least as many as there are iterations; more are not read.
        iterations: of this training, which has an optimizer of its own.
        solver: optimizer, learning rate and precision; by default `usual_solver`.
    """
    laps, device = Laps(), default_device().type
    solver = replace(solver or usual_solver(), iterations=iterations, log_every=iterations)
    with quiet():
        curve = train(
            network,
            trained,
            [losses],
            lambda first, last: laps.through(islice(batches, iterations), device),
            solver,
            NoResume(Path("unused"), "unused"),
            Run(),
            "benchmark",
        )
    return laps, curve


def usual_solver() -> SolverParameters:
    """The solver of both sides: bfloat16 autocast on a GPU, float32 on a CPU."""
    gpu = default_device().type == "cuda"
    return replace(SOLVER, precision="bfloat16" if gpu else "float32")


@cache
def trained_network(name: BackboneName, size: tuple[int, int], iterations: int) -> FasterRCNN:
    """A network trained for a moment on scenes, so that its scores differ as trained ones do.

    How much NMS has to do depends on them. Take a copy: there is one of each in a process.
    """
    network = build_network(name, size, CLASSES)
    batches = [batch_of(2, size, first) for first in range(0, 2 * iterations, 2)]
    solver = replace(SOLVER, lr=0.001, warmup_iterations=5, lr_drops=(iterations,))
    timed_training(network, *trained_parts(network, "rpn"), batches, iterations, solver)
    trained, losses = trained_parts(network, "detector")
    timed_training(network, trained[1:], losses, batches, iterations, solver)
    return network.eval()
