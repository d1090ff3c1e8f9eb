"""Where the time of a training step goes: torch.profiler's tables, as in docs/profiles.md."""

import copy
import sys
from collections.abc import Callable, Iterator

from torch.profiler import ProfilerActivity
from torch.profiler import profile as profiler

from benchmarks.budget import Budget
from benchmarks.contenders import Batches, in_memory, our_step, their_step
from benchmarks.ours import build_network
from benchmarks.scenes import CLASSES
from benchmarks.table import Row, number
from benchmarks.timing import Seconds
from components.training.batches import Batch
from models.parameters import BackboneName

LINES = 12
"""Operations in a table."""
WARM_UP, PROFILED = 2, 4
"""Iterations; the first ones make the optimizer's state and choose kernels."""


def run(budget: Budget) -> list[Row]:
    """Print the tables of all steps, and write them to profiles.md; no row."""
    tables = [table for name in budget.networks for table in network_tables(name, budget)]
    text = "\n".join(tables)
    (budget.folder / "profiles.md").write_text(text, encoding="utf-8")
    print(text, file=sys.stderr)
    return []


def network_tables(name: BackboneName, budget: Budget) -> Iterator[str]:
    """The tables of one network: steps 1 and 2, and torchvision's joint step."""
    network = build_network(name, budget.size, CLASSES)
    iterations = (PROFILED, WARM_UP)
    steps: dict[str, Callable[[Batches], Seconds]] = {
        "step 1": lambda b: our_step(copy.deepcopy(network), "rpn", b, *iterations),
        "step 2": lambda b: our_step(copy.deepcopy(network), "detector", b, *iterations),
        "torchvision's joint step": lambda b: their_step(network, b, budget, *iterations),
    }
    for step, contender in steps.items():
        title = f"{name} {budget.size[0]} x {budget.size[1]}, {step}"
        yield table(title, profiled(contender, budget), budget.device)


def profiled(contender: Callable[[Batches], Seconds], budget: Budget) -> profiler:
    """The profile of a contender's iterations after the warm-up.

    Args:
        contender: makes the contender that trains on batches.
        budget: says where it runs.
    """
    activities = [ProfilerActivity.CPU]
    if budget.device == "cuda":
        activities.append(ProfilerActivity.CUDA)
    found = profiler(activities=activities)

    def batches(count: int) -> Iterator[Batch]:
        for iteration, batch in enumerate(in_memory(budget)(count)):
            if iteration == WARM_UP:
                found.start()
            yield batch

    contender(batches)()
    found.stop()
    return found


def table(title: str, found: profiler, device: str) -> str:
    """The operations with the most time of their own, an iteration, as Markdown."""
    kind = "device" if device == "cuda" else "cpu"
    operations = sorted(
        (
            (getattr(event, f"self_{kind}_time_total") / 1000 / PROFILED, event.count, event.key)
            for event in found.key_averages()
            if event.device_type.name == "CPU"
        ),
        reverse=True,
    )
    rest = operations[LINES:]
    operations[LINES:] = [
        (sum(ms for ms, _, _ in rest), sum(calls for _, calls, _ in rest), f"{len(rest)} others")
    ]
    lines = [
        f"### {title}: {sum(ms for ms, _, _ in operations):.0f} ms an iteration\n",
        f"| operation | ms of its own on the {kind.replace('cpu', 'CPU')} | calls |",
        "|---|---|---|",
        *(f"| {name} | {number(ms)} | {calls / PROFILED:.0f} |" for ms, calls, name in operations),
    ]
    return "\n".join(lines) + "\n"
