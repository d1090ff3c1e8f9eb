"""Goal 8: what sharing an image's convs among R / N of its RoIs is worth (Fast R-CNN, 2.3)."""

from collections.abc import Callable
from functools import partial

import torch

from benchmarks.budget import Budget
from benchmarks.ours import build_network, trained_parts, usual_solver
from benchmarks.scenes import CLASSES, batch_of
from benchmarks.table import Row
from benchmarks.timing import Seconds, interleaved, ratio, stopwatch, summary
from components.networks.device import on_device
from components.training.loop import step_generator
from components.training.solver import in_precision
from components.training.steps import detector_losses
from models.faster_rcnn import FasterRCNN
from models.parameters import BackboneName, RoITargetParameters

ROIS = 128
"""R, RoIs of a mini-batch."""
MICRO_BATCH = 4
"""Images that go through the network at once, on a CPU."""
NOTE = (
    f"forward and backward of step 2 for R = {ROIS} RoIs from N images; ours: milliseconds a RoI, "
    f"theirs: the same with one RoI from each of {ROIS} images. More than {MICRO_BATCH} images go "
    "in micro-batches of that many (gradients add up), of which one is timed. The paper's 64x for "
    f"N = 2 counts the convs alone: {ROIS} / 2 images. The work of each RoI (pooling, per-RoI "
    "head) is not shared, so the factor is smaller the heavier the head is beside the convs"
)


def run(budget: Budget) -> list[Row]:
    """The cost of a RoI by N, against one RoI from each image."""
    counts = (2, ROIS) if budget.quick else tuple(2**power for power in range(8))
    rows = []
    for name in budget.networks:
        rows += measure(name, counts, budget, budget.share(len(budget.networks)))
    return rows


def measure(
    name: BackboneName, counts: tuple[int, ...], budget: Budget, seconds: float
) -> list[Row]:
    """The rows of one network, a row for each N."""
    network = on_device(build_network(name, budget.size, CLASSES))
    contenders = {str(count): mini_batch(network, count, budget) for count in counts}
    times = interleaved(contenders, seconds)
    unshared = times[str(ROIS)]
    rows = []
    for count in counts:
        quotient = ratio(unshared, times[str(count)])
        rows.append(
            Row(
                name=f"roi_sharing, {name} {budget.size[0]}, N = {count}",
                goal=8,
                ours=1000 * summary(times[str(count)]).median / ROIS,
                theirs=1000 * summary(unshared).median / ROIS,
                unit="ms/RoI",
                ratio=quotient.median,
                spread=(quotient.low, quotient.high),
                note=NOTE,
            )
        )
    return rows


def mini_batch(network: FasterRCNN, images: int, budget: Budget) -> Seconds:
    """Forward and backward of a mini-batch of R RoIs from so many images."""
    at_once = min(images, MICRO_BATCH if budget.device == "cpu" else 8 * MICRO_BATCH)
    targets = RoITargetParameters(rois_per_batch=ROIS * at_once // images, background_iou_low=0.0)
    batch = batch_of(at_once, budget.size).to(torch.device(budget.device))
    trained, _ = trained_parts(network, "detector")
    for part in trained:
        part.train()
    losses = detector_losses(network, targets)
    generator: Callable[[], torch.Generator] = partial(
        step_generator, 1, 0, torch.device(budget.device)
    )

    def work() -> None:
        network.zero_grad(set_to_none=True)
        with in_precision(usual_solver()):
            loss = torch.stack(list(losses(batch, generator()).values())).sum()
        loss.backward()

    once = stopwatch(work, budget.device)
    return lambda: once() * images / at_once
