"""Soak: the four trainings over and over in one process; memory and open files must stay flat.

    python -m benchmarks.soak --minutes 120

The real stages train on a dozen demo scenes with the tiny backbone, a worker process that decodes,
a resume point every 50 steps and tracking into a spool folder (which is not shipped). A round is
one run of each of the four trainings. Looked at twice in each run of a stage: in the middle, with
its worker process, and after it. The verdict is the slope over the second half of the rounds:
first come the warm-up, allocator and caches.
"""

import argparse
import gc
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import torch

from benchmarks.demo_stages import INPUTS, TRAININGS, flags, make_index
from benchmarks.scale import descendants, unshared_mib
from components.command_line import parse
from components.contract import load_stage
from components.main import work_of
from components.memory import keep_freed_memory
from components.outputs import whole_outputs
from components.pages.chart import BLUE, ORANGE
from components.scratch import sole_use
from components.tracking import Run
from components.tracking.spool import Writer
from pipelines.sections import stage_of

SOLVER = {"images_per_batch": 2, "log_every": 10, "checkpoint_every": 50, "workers": 1, "lr": 0.001}
STEPS = 100
"""Steps of each training."""
PER = 10_000
"""Steps that a slope is given for."""


@dataclass(frozen=True, slots=True)
class Sample:
    """After a round: idle, between two trainings; busy, the most in the middle of any.

    Memory in MiB is that of all processes, files and threads those of the training's own.
    """

    steps: int
    minutes: float
    idle_mib: float
    busy_mib: float
    idle_files: int
    busy_files: int
    idle_threads: int
    busy_threads: int
    idle_tensors: int
    busy_tensors: int


@dataclass(frozen=True, slots=True)
class Look:
    """What one look finds."""

    mib: float
    files: int
    threads: int
    tensors: int


class Watched(Run):
    """A run that spools, and looks at the process in the middle of the training."""

    def __init__(self, writer: Writer, middle: int) -> None:
        super().__init__(writer)
        self.middle, self.looks = middle, list[Look]()

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Spool the numbers; at the middle, look."""
        super().metrics(values, step)
        if step == self.middle:
            self.looks.append(look())


def look() -> Look:
    """Memory of this process and its children, its open files, threads and living tensors."""
    gc.collect()
    tensors = sum(issubclass(type(found), torch.Tensor) for found in gc.get_objects())
    return Look(
        mib=sum(map(unshared_mib, descendants(os.getpid()))),
        files=len(os.listdir("/proc/self/fd")),
        threads=len(os.listdir("/proc/self/task")),
        tensors=tensors,
    )


@dataclass(frozen=True, slots=True)
class Soak:
    """Where a soak reads and writes, and how long its trainings are."""

    folder: Path
    data: Path
    index: Path
    steps: int = STEPS

    def prepare(self) -> None:
        """Run the whole pipeline once: the trainings read what it leaves."""
        for use in INPUTS:
            self.run(use, self.folder / "first")

    def run(self, use: str, out: Path) -> list[Look]:
        """Run a stage in this process as its command does; the look in its middle."""
        solver = SOLVER | {"iterations": self.steps, "lr_drops": [self.steps]}
        argv = flags(use, self.data, self.index, self.folder / "first", out, solver)
        stage = parse(load_stage(stage_of(use)), argv)
        writer = Writer(self.folder / "spool")
        run = Watched(writer, self.steps // 20 * 10)
        try:
            with sole_use(stage), whole_outputs(stage) as aside:
                work_of(stage_of(use)).run(aside, run)
        finally:
            writer.close()
            shutil.rmtree(writer.folder)
        return run.looks

    def rounds(self, goes_on: Callable[[int], bool]) -> Iterator[Sample]:
        """Rounds of the four trainings, as long as the number of those done says so."""
        start, done = time.monotonic(), 0
        while goes_on(done):
            busy = [each for use in TRAININGS for each in self.run(use, self.folder / "round")]
            done, idle = done + 1, look()
            yield Sample(
                steps=done * self.steps * len(TRAININGS),
                minutes=round((time.monotonic() - start) / 60, 2),
                idle_mib=round(idle.mib, 1),
                busy_mib=round(max(each.mib for each in busy), 1),
                idle_files=idle.files,
                busy_files=max(each.files for each in busy),
                idle_threads=idle.threads,
                busy_threads=max(each.threads for each in busy),
                idle_tensors=idle.tensors,
                busy_tensors=max(each.tensors for each in busy),
            )


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """The median of the slopes of all pairs of points (Theil-Sen): outliers do not count."""
    pairs = combinations(zip(x, y, strict=True), 2)
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairs if b[0] != a[0]]
    return statistics.median(slopes) if slopes else 0.0


def verdict(samples: Sequence[Sample]) -> dict[str, float]:
    """The slope of each figure over the second half, for `PER` steps."""
    half = samples[len(samples) // 2 :]
    steps = [sample.steps for sample in half]
    names = [name for name in asdict(half[0]) if name not in ("steps", "minutes")]
    return {n: round(PER * slope(steps, [getattr(s, n) for s in half]), 3) for n in names}


def table(samples: Sequence[Sample], lines: int = 12) -> str:
    """Some of the samples, evenly apart, and the slopes below them."""
    chosen = [samples[round(k * (len(samples) - 1) / (lines - 1))] for k in range(lines)]
    chosen = sorted(set(chosen), key=lambda sample: sample.steps)
    names = list(asdict(chosen[0]))
    rows = [names, *([f"{value:g}" for value in asdict(s).values()] for s in chosen)]
    slopes = verdict(samples)
    rows.append([f"per {PER}", "", *(f"{slopes[name]:+g}" for name in names[2:])])
    return "\n".join("  ".join(cell.rjust(12) for cell in row) for row in rows)


def write_plot(path: Path, samples: Sequence[Sample]) -> None:
    """Memory against steps, idle and busy, as an SVG file."""
    width, height, left = 640, 240, 60
    most = 1.1 * max(sample.busy_mib for sample in samples)
    last = samples[-1].steps
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + 30}" '
        'font-family="sans-serif" font-size="12">',
        f'<path d="M{left} 10V{height}H{width - 10}" fill="none" stroke="#444"/>',
        f'<text x="4" y="20">{most:.0f} MiB</text><text x="40" y="{height}">0</text>',
        f'<text x="{width - 10}" y="{height + 18}" text-anchor="end">{last} steps</text>',
    ]
    for name, colour, level in (("busy", ORANGE, 30), ("idle", BLUE, 46)):
        places = (
            (left + s.steps / last * (width - left - 10), getattr(s, f"{name}_mib") / most)
            for s in samples
        )
        points = " ".join(f"{x:.1f},{height - y * (height - 10):.1f}" for x, y in places)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
        parts.append(f'<text x="{left + 8}" y="{level + 160}" fill="{colour}">{name}</text>')
    path.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


def main() -> None:
    """Soak for some minutes; print the table, write soak.json and soak.svg."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--steps", type=int, default=STEPS, help="of each training")
    parser.add_argument("--folder", type=Path, default=Path("build/benchmarks/soak"))
    values = parser.parse_args()
    values.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    keep_freed_memory()  # as the stages' command does
    samples = list[Sample]()
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), *make_index(Path(folder)), values.steps)
        soak.prepare()
        end = time.monotonic() + 60 * values.minutes  # of the rounds alone; one is always run
        for sample in soak.rounds(lambda done: not done or time.monotonic() < end):
            samples.append(sample)
            print(sample, flush=True)
            content = {"slopes": verdict(samples), "samples": [asdict(s) for s in samples]}
            (values.folder / "soak.json").write_text(json.dumps(content, indent=1) + "\n")
    print(table(samples))
    write_plot(values.folder / "soak.svg", samples)


if __name__ == "__main__":
    main()
