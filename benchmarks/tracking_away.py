"""What a tracking server that hangs costs: ``python -m benchmarks.tracking_away``.

Trainings by the project's own loop, with tracking off and with a server that takes connections and
never answers, in turns. A line of the curve is recorded in each iteration, twenty times as often
as usual. Then stages without work, one after the other: what each waits at its end.
"""

import argparse
import os
import socket
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from time import perf_counter
from typing import Annotated

import torch

from benchmarks.ours import SOLVER, NoResume, build_network, trained_parts
from benchmarks.scenes import CLASSES, batch_of
from benchmarks.timing import interleaved, quiet, ratio, summary
from components.contract import Output
from components.outputs import whole_outputs
from components.tracking import Run, track
from components.training.loop import train

SIZE = (192, 256)
STAGES = 12
OUTSIDE = ("FOURSTEP_", "DVC_", "MLFLOW_", "KUBERNETES_", "KFP_")
"""Beginnings of the variables that would change what is measured."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage that does nothing."""

    metrics: Annotated[Path, Output("Metrics")]


@contextmanager
def hanging_server() -> Iterator[str]:
    """The address of a server whose connections are never answered."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(512)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


class Trainings:
    """Trainings of one network, tracked or not."""

    def __init__(self, folder: Path, iterations: int) -> None:
        self.stage = Stage(metrics=folder / "metrics.json")
        self.iterations = iterations
        self.network = build_network("mobilenet_v2", SIZE, CLASSES)
        self.batch = batch_of(2, SIZE)
        self.writes = list[float]()

    def run(self, tracking: str) -> float:
        """Train; the seconds of an iteration, without the stage's start and end."""
        os.environ["FOURSTEP_TRACKING"] = tracking
        solver = replace(SOLVER, iterations=self.iterations, log_every=1)
        with quiet(), track(self.stage) as run, whole_outputs(self.stage) as aside:
            start = perf_counter()
            trained, losses = trained_parts(self.network, "rpn")
            train(
                self.network,
                trained,
                [losses],
                lambda first, last: repeat(self.batch, last - first),
                solver,
                NoResume(Path("unused"), "unused"),
                run,
                "benchmark",
            )
            seconds = (perf_counter() - start) / self.iterations
            self.writes += self.timed_writes(run)
            aside.metrics.write_text("{}")
        return seconds

    def timed_writes(self, run: Run) -> list[float]:
        """Seconds of each of a hundred calls of `Run.metrics`, if the run is recorded."""
        found = list[float]()
        for step in range(100 if run.recorded else 0):
            start = perf_counter()
            run.metrics({"a": 1.0, "b": 2.0, "lr": 0.1}, step=self.iterations + step)
            found.append(perf_counter() - start)
        return found


def ends(folder: Path) -> list[float]:
    """Seconds of each of some stages that do nothing, the server hanging."""
    os.environ |= {"FOURSTEP_TRACKING": "on", "FOURSTEP_SPOOL": str(folder / "ends")}
    stage, found = Stage(metrics=folder / "metrics.json"), list[float]()
    for _ in range(STAGES):
        start = perf_counter()
        with quiet(), track(stage), whole_outputs(stage) as aside:
            aside.metrics.write_text("{}")
        found.append(perf_counter() - start)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracking_away")
    parser.add_argument("--iterations", type=int, default=20, help="of each training")
    parser.add_argument("--seconds", type=float, default=60, help="of all trainings")
    values = parser.parse_args()
    for name in [name for name in os.environ if name.startswith(OUTSIDE)]:
        del os.environ[name]
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place, hanging_server() as url:
        folder = Path(place)
        os.environ |= {"MLFLOW_TRACKING_URI": url, "FOURSTEP_SPOOL": str(folder / "spool")}
        trainings = Trainings(folder, values.iterations)
        contenders = {name: lambda name=name: trainings.run(name) for name in ("off", "on")}
        times = interleaved(contenders, values.seconds)
        for name, words in (("off", "tracking off"), ("on", "server hanging")):
            low, high = summary(times[name]).low, summary(times[name]).high
            median = statistics.median(times[name])
            print(
                f"{words}: {1000 * median:.1f} ms an iteration ({1000 * low:.1f}-{1000 * high:.1f})"
            )
        share = ratio(times["on"], times["off"])
        print(
            f"hanging / off: {share.median:.3f} ({share.low:.3f}-{share.high:.3f}), "
            f"{len(times['on'])} rounds of {values.iterations} iterations"
        )
        print(f"Run.metrics: {1e6 * statistics.median(trainings.writes):.0f} us")
        first, *others = ends(folder)
        print(
            f"{STAGES} stages without work: the first {first:.1f} s, "
            f"the others {statistics.median(others):.2f} s (longest {max(others):.2f} s)"
        )


if __name__ == "__main__":
    main()
