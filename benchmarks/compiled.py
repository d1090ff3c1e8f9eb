"""What torch.compile would gain, and how long it compiles; the project does not use it.

python -m benchmarks compiled       # wants a C++ compiler and Python's headers
"""

import copy
from collections.abc import Mapping

import torch

from benchmarks.budget import Budget
from benchmarks.contenders import IMAGES, PARTS, in_memory, our_step, timed_steps
from benchmarks.ours import Part, build_network, trained_parts, usual_solver
from benchmarks.rows import rate_row
from benchmarks.scenes import CLASSES, batch_of
from benchmarks.table import Row
from benchmarks.timing import Seconds, interleaved, stopwatch
from components.networks.device import on_device
from components.training.solver import in_precision
from models.faster_rcnn import FasterRCNN
from models.parameters import BackboneName

LOSSES = "ours: the step with its losses compiled, theirs: as it is; else as training_step"
TRUNK = "ours: the convs compiled, their weights as constants of the program; no gradients"


def run(budget: Budget) -> list[Row]:
    """Images a second of the training steps and of the trunk, compiled and not."""
    seconds = budget.share(3 * len(budget.networks))
    with torch._inductor.config.patch(force_disable_caches=True):
        return [row for name in budget.networks for row in measure(name, budget, seconds)]


def measure(name: BackboneName, budget: Budget, seconds: float) -> list[Row]:
    """The rows of one network."""
    network = build_network(name, budget.size, CLASSES)
    title = f"compiled, {name} {budget.size[0]}"
    rows = []
    for step, part in PARTS.items():
        pair = {
            "plain": our_step(copy.deepcopy(network), part, in_memory(budget)),
            "compiled": compiled_step(copy.deepcopy(network), part, budget),
        }
        rows += compared(f"{title}, {step}", pair, seconds, LOSSES)
    with torch._inductor.config.patch(freezing=True):
        rows += compared(f"{title}, trunk", trunks(network, budget), seconds, TRUNK)
    return rows


def compared(title: str, pair: Mapping[str, Seconds], seconds: float, note: str) -> list[Row]:
    """The rows of a pair: how fast they are, and how long the first turn of the compiled took."""
    compiling = stopwatch(pair["compiled"])()
    times = interleaved(pair, seconds)
    return [
        rate_row(title, None, times["compiled"], times["plain"], IMAGES, note=note),
        Row(name=f"{title}, compiling", goal=None, ours=compiling, unit="s"),
    ]


def compiled_step(network: FasterRCNN, part: Part, budget: Budget) -> Seconds:
    """Step 1 or 2 of ours, the function of its losses compiled."""
    trained, losses = trained_parts(network, part)
    return timed_steps(network, trained, torch.compile(losses, dynamic=False), in_memory(budget))


def trunks(network: FasterRCNN, budget: Budget) -> dict[str, Seconds]:
    """The trunk without gradients, as it is and compiled."""
    images = batch_of(IMAGES, budget.size).images.to(budget.device)
    plain, compiled = on_device(network).eval(), on_device(copy.deepcopy(network)).eval()
    compiled.shared.compile(dynamic=False)

    def contender(owner: FasterRCNN) -> Seconds:
        def features() -> None:
            with torch.no_grad(), in_precision(usual_solver()):
                owner.features(images)

        return stopwatch(features, budget.device)

    return {"plain": contender(plain), "compiled": contender(compiled)}
