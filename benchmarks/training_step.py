"""Goal 1: a training step against torchvision's joint one."""

from benchmarks.budget import Budget
from benchmarks.contenders import IMAGES, full_steps, in_memory, mean_of_steps
from benchmarks.rows import rate_row
from benchmarks.table import Row
from benchmarks.timing import interleaved
from models.parameters import BackboneName

NOTE = (
    "images from memory on both sides, decoded and resized; same weights, same fixed first convs, "
    "same optimizer (AdamW, fused); ours is the mean time of steps 1 and 2"
)


def run(budget: Budget) -> list[Row]:
    """Images a second of steps 1 and 2, and of both, against the joint step."""
    target = 2.0 if budget.device == "cuda" else 1.5
    rows = []
    for name in budget.networks:
        rows += measure(name, budget, budget.share(len(budget.networks)), target)
    return rows


def measure(name: BackboneName, budget: Budget, seconds: float, target: float) -> list[Row]:
    """The rows of one network."""
    times = interleaved(full_steps(name, budget, in_memory(budget)), seconds)
    kind = "bf16" if budget.device == "cuda" else "float32"
    title = f"training_step, {name} {budget.size[0]} {kind}"
    joint = times["joint"]
    return [
        rate_row(f"{title}, step 1", None, times["step 1"], joint, IMAGES),
        rate_row(f"{title}, step 2", None, times["step 2"], joint, IMAGES),
        rate_row(title, 1, mean_of_steps(times), joint, IMAGES, target=target, note=NOTE),
    ]
