import re

import torch

from benchmarks.budget import Budget
from benchmarks.profile import LINES, PROFILED, WARM_UP, profiled, table


def contender(batches):
    """Multiplies two matrices three times an iteration."""

    def seconds():
        for _ in batches(WARM_UP + PROFILED):
            for _ in range(3):
                torch.ones(8, 8) @ torch.ones(8, 8)
        return 0.0

    return seconds


def test_a_table_counts_the_calls_of_an_iteration_without_the_warm_up():
    lines = table("a, step", profiled(contender, Budget(quick=True)), "cpu").splitlines()
    assert re.fullmatch(r"### a, step: \d+ ms an iteration", lines[0])
    cells = [line.strip("| ").split(" | ") for line in lines[4:]]
    calls = {name: count for name, _, count in cells}
    assert calls["aten::mm"] == "3"
    assert calls["aten::ones"] == "6"
    assert len(cells) <= LINES + 1
    times = [float(ms) for _, ms, _ in cells[:-1]]
    assert times == sorted(times, reverse=True)
