"""Where the time of a training step goes: torch.profiler's tables, written beside the results."""

import copy

from torch.profiler import ProfilerActivity
from torch.profiler import profile as profiler

from benchmarks.budget import Budget
from benchmarks.contenders import in_memory, our_step, their_step
from benchmarks.ours import build_network
from benchmarks.scenes import CLASSES
from benchmarks.table import Row
from benchmarks.timing import Seconds

LINES = 25
"""Operations in a table."""


def run(budget: Budget) -> list[Row]:
    """Write profile_<network>_<step>.txt for each step; no row."""
    for name in budget.networks:
        network = build_network(name, budget.size, CLASSES)
        batches = in_memory(budget)
        steps = {
            "joint": their_step(network, batches, budget),
            "step_1": our_step(copy.deepcopy(network), "rpn", batches),
            "step_2": our_step(copy.deepcopy(network), "detector", batches),
        }
        for step, take in steps.items():
            write_profile(take, name, step, budget)
    return []


def write_profile(take: Seconds, name: str, step: str, budget: Budget) -> None:
    """Profile one turn, after one that is not: 3 iterations."""
    take()
    activities = [ProfilerActivity.CPU]
    if budget.device == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profiler(activities=activities) as found:
        seconds = take()
    table = found.key_averages().table(
        sort_by=f"self_{budget.device}_time_total", row_limit=LINES, max_name_column_width=60
    )
    title = f"{name}, {step}, {budget.size[0]} x {budget.size[1]}, 3 iterations, the last two of "
    path = budget.folder / f"profile_{name}_{step}.txt"
    path.write_text(f"{title}{1000 * seconds:.0f} ms each under the profiler\n\n{table}")
