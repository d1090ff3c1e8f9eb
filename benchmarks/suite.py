"""Running benchmarks one after the other, and writing what they found."""

import gc
import importlib
import json
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.budget import Budget
from benchmarks.machine import describe
from benchmarks.plot import write_plot
from benchmarks.table import Row, format_table
from components.memory import keep_freed_memory


def run_all(seconds: Mapping[str, float], device: str | None, quick: bool, folder: Path) -> int:
    """Run the named benchmarks, each with its seconds; 1 if one of them failed.

    A benchmark that fails is reported, and the others run all the same. What is found so far is
    written after each.
    """
    keep_freed_memory()  # as the stages that make feature maps do; here both sides profit
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    took: dict[str, float] = {}
    failed, machine = [], describe(device)
    for name, limit in seconds.items():
        start = time.perf_counter()
        print(f"{name} ...", file=sys.stderr, flush=True)
        budget = Budget(seconds=limit, quick=quick, device=device, folder=folder)
        try:
            rows += importlib.import_module(f"benchmarks.{name}").run(budget)
        except Exception:  # noqa: BLE001 (whatever one benchmark raises, the next ones run)
            traceback.print_exc()
            failed.append(name)
        took[name] = round(time.perf_counter() - start, 1)
        gc.collect()
        print(f"{name}: {took[name]:.0f} s", file=sys.stderr, flush=True)
        write_json(folder / "benchmarks.json", rows, machine, took, failed)
        write_plot(folder / "benchmarks.svg", rows)
    print(format_table(rows))
    print(f"\n{', '.join(f'{key} {value}' for key, value in machine.items())}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def write_json(
    path: Path,
    rows: Sequence[Row],
    machine: Mapping[str, object],
    took: Mapping[str, float],
    failed: Sequence[str],
) -> None:
    """Write rows, machine, seconds of each benchmark and names of those that failed."""
    listed = [asdict(row) | {"reached": row.reached} for row in rows]
    content = {"machine": machine, "rows": listed, "seconds": took, "failed": failed}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
