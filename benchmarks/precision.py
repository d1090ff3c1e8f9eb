"""What `solver.precision: bfloat16` gains in a training step, ours and torchvision's.

python -m benchmarks precision
"""

import copy
from dataclasses import replace

from benchmarks.budget import Budget
from benchmarks.contenders import IMAGES, PARTS, in_memory, mean_of_steps, our_step, their_step
from benchmarks.ours import SOLVER, build_network
from benchmarks.rows import rate_row
from benchmarks.scenes import CLASSES
from benchmarks.table import Row
from benchmarks.timing import Seconds, interleaved
from models.parameters import BackboneName

FLOAT32 = replace(SOLVER, precision="float32")
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
    both = {step: times[f"{step} bfloat16"] for step in PARTS}
    ours = mean_of_steps(both)
    against = rate_row(f"{title}, both", None, ours, times["joint bfloat16"], IMAGES, note=AGAINST)
    return [*rows, against]


def contenders(name: BackboneName, budget: Budget) -> dict[str, Seconds]:
    """Steps 1 and 2 of ours and torchvision's joint step, in both precisions."""
    network, batches = build_network(name, budget.size, CLASSES), in_memory(budget)
    found = {}
    for suffix, solver in (("", FLOAT32), (" bfloat16", BFLOAT16)):
        found["joint" + suffix] = their_step(network, batches, budget, solver=solver)
        for step, part in PARTS.items():
            own = copy.deepcopy(network)
            found[step + suffix] = our_step(own, part, batches, solver=solver)
    return found
