"""What `components.memory` gains in a new process: MobileNetV2's trunk without gradients.

python -m benchmarks freed_memory
"""

import subprocess
import sys
from functools import partial
from statistics import median

import torch

from benchmarks.budget import Budget
from benchmarks.contenders import IMAGES
from benchmarks.disk import ROOT
from benchmarks.ours import build_network
from benchmarks.rows import rate_row
from benchmarks.scenes import CLASSES, batch_of
from benchmarks.table import Row
from benchmarks.timing import Seconds, interleaved, stopwatch
from components.memory import keep_freed_memory

TURNS = 10
NOTE = "a process for each round; ours: freed memory is kept, theirs: given back, as glibc does"


def run(budget: Budget) -> list[Row]:
    """Images a second with freed memory kept and given back."""
    contenders: dict[str, Seconds] = {
        how: partial(in_new_process, how, *map(str, budget.size)) for how in ("kept", "given back")
    }
    times = interleaved(contenders, budget.share(1), warm_up=0)
    name = f"freed_memory, mobilenet_v2 {budget.size[0]}, trunk"
    return [rate_row(name, None, times["kept"], times["given back"], IMAGES, note=NOTE)]


def in_new_process(*arguments: str) -> float:
    """Seconds of a forward pass, as the new process measured them."""
    command = [sys.executable, "-m", "benchmarks.freed_memory", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout)


def forward_seconds(how: str, size: tuple[int, int]) -> float:
    """The median seconds of a forward pass over two images, after two passes to warm up."""
    if how == "kept":
        keep_freed_memory()
    network, images = build_network("mobilenet_v2", size, CLASSES), batch_of(IMAGES, size).images
    forward = stopwatch(lambda: network.features(images))
    with torch.inference_mode():
        return median([forward() for _ in range(2 + TURNS)][2:])


if __name__ == "__main__":
    print(forward_seconds(sys.argv[1], (int(sys.argv[2]), int(sys.argv[3]))))
