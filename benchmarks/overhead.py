"""What the pipeline costs beside the work of its stages (goal 6).

A copy of the project runs with few iterations and a clock around each stage's `run`
(`benchmarks.stage_trace`). Work is what happens in there, imports left out; overhead is all the
rest of ``dvc repro``: DVC, the start of Python, imports wherever they are, tracking, digests. It
runs twice, and the second time counts: the first has written Python's bytecode and MLflow's
database, as a user's first run does. The whole run has more iterations, not more overhead; its work
is computed from a turn's median time in each training loop.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.budget import Budget
from benchmarks.stage_trace import STOP
from benchmarks.table import Row
from benchmarks.timing import Summary, interleaved, ratio, summary
from pipelines.images import ROLES

ROOT = Path(__file__).parents[1]
TRACER = Path(__file__).with_name("stage_trace.py")
COPIED = ("cli", "components", "models", "pipelines", "profiles", "dvc.yaml", "params.yaml")
OUTSIDE = ("FOURSTEP_", "DVC_", "MLFLOW_", "KUBERNETES_", "KFP_")
"""Beginnings of the variables that would change what a stage does at its start."""
NOBODY = "http://127.0.0.1:9"
"""No tracking server: the shipper ends at once, and does not disturb the next measurement."""
FEW = {"iterations": 30, "warmup_iterations": 5, "lr_drops": [15], "epochs": 1}
DIRECT_S = 900.0
"""From this budget on the embedded run is made in full, and its share measured."""


@dataclass(frozen=True)
class Project:
    """A copy of the project, with the embedded data and a trace of its stages."""

    folder: Path
    environment: dict[str, str]

    @property
    def trace(self) -> Path:
        """Where `benchmarks.stage_trace` writes."""
        return self.folder / "trace.jsonl"

    def call(self, *arguments: str, **variables: str) -> float:
        """Run Python with arguments; the seconds it took.

        Raises:
            RuntimeError: it failed; the message ends in what it printed last.
        """
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{shlex.join(arguments)}\n{(done.stdout + done.stderr)[-2000:]}")
        return time.monotonic() - start

    def stages(self) -> list[dict[str, Any]]:
        """The lines of the trace."""
        return [json.loads(line) for line in self.trace.read_text().splitlines()]


def run(budget: Budget) -> list[Row]:
    """Measure the pipeline's overhead, the stages' start-up and help, and two no-ops."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        direct = budget.seconds >= DIRECT_S and not budget.quick
        project = copy_project(Path(place))
        project.call("-m", "dvc", "repro")
        project.trace.unlink()
        write_params(project.folder, {} if direct else FEW)
        wall = project.call("-m", "dvc", "repro", "--force")
        stages = project.stages()
        repeats = 1 if budget.quick else 3
        return [
            share_row(wall, stages),
            *waiting_rows(project, repeats),
            help_row(project, sorted({s["component"] for s in stages}), repeats),
            *start_rows(project, stages, budget),
        ]


def copy_project(folder: Path) -> Project:
    """A copy of the project that runs on its own, with few iterations."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    write_params(folder, FEW)
    (folder / ".dvc").mkdir()
    config = (ROOT / ".dvc" / "config").read_text()
    (folder / ".dvc" / "config").write_text(config.replace("[core]", "[core]\n    no_scm = true"))
    shutil.copy(ROOT / ".dvcignore", folder)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(OUTSIDE)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # a user has the bytecode of all packages
    environment["PATH"] = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    project = Project(folder, environment)
    write_command(folder / "bin" / "python", str(TRACER), str(project.trace))
    write_command(folder / "bin" / "fourstep", "-m", "cli")
    project.call("-m", "cli", "demo-data", "data")
    project.call("-m", "dvc", "add", "data")
    return project


def params() -> dict[str, Any]:
    """The settings of the embedded run."""
    return dict(yaml.safe_load((ROOT / "params.yaml").read_text()))


def write_params(folder: Path, changes: Mapping[str, Any]) -> None:
    """The settings of the embedded run, changed wherever a key occurs."""
    (folder / "params.yaml").write_text(yaml.safe_dump(changed(params(), changes)))


def changed(value: Any, changes: Mapping[str, Any]) -> Any:
    """Nested settings with new values for the keys named."""
    if not isinstance(value, dict):
        return value
    return {k: changes.get(k, changed(v, changes)) for k, v in value.items()}


def write_command(path: Path, *first: str) -> None:
    """An executable that calls Python with these arguments and its own."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, *first])} "$@"\n')
    path.chmod(0o755)


def share_row(wall: float, stages: list[dict[str, Any]]) -> Row:
    """Overhead as a share of the embedded run."""
    imports = sum(stage["imports"] for stage in stages)
    work = sum(stage["end"] - stage["work"] for stage in stages) - imports
    overhead, whole = wall - work, wall + sum(left_out(stage, params()) for stage in stages)
    how = "measured" if whole == wall else f"computed from one of {wall:.0f} s with few iterations"
    return Row(
        name="overhead, share of the embedded run",
        goal=6,
        ours=overhead / whole,
        target=0.10,
        at_most=True,
        note=f"{overhead:.1f} s for {len(stages)} stages and check_params, {imports:.1f} s of it "
        f"imports inside of the stages' work; the whole run takes {whole:.0f} s, {how}",
    )


def left_out(stage: Mapping[str, Any], settings: Mapping[str, Any]) -> float:
    """Seconds that the embedded run's other training iterations would have taken the stage."""
    section = settings.get(stage["stage"]) or {}
    wanted = section.get("solver", {}).get("iterations") or section.get("crops", {}).get("epochs")
    trainings = [loop for loop in stage["loops"] if loop[0] in (FEW["iterations"], FEW["epochs"])]
    if not wanted or not trainings:
        return 0.0
    turns, seconds = trainings[-1]
    return float((wanted - turns) * seconds)


def waiting_rows(project: Project, repeats: int) -> list[Row]:
    """What a user waits for when there is nothing to do, and for the compiled pipeline."""
    record = {
        role: {"reference": f"registry.example.com/fourstep-{role}@sha256:{'0' * 64}"}
        for role in ROLES
    }
    (project.folder / "build" / "images.json").write_text(json.dumps({"images": record}))
    profiles = [f"--profile=profiles/{name}.yaml" for name in ("cpu-only", "data-volume")]
    calls: dict[str, tuple[str, ...]] = {
        "dvc repro, nothing to do": ("-m", "dvc", "repro"),
        "fourstep compile": ("-m", "cli", "compile", *profiles),
    }
    return [seconds_row(n, median_of(repeats, project.call, *c), 5) for n, c in calls.items()]


def help_row(project: Project, components: list[str], repeats: int) -> Row:
    """The slowest ``--help``."""
    found = {
        name: median_of(repeats, project.call, "-m", f"components.{name}", "--help")
        for name in components
    }
    slowest = max(found, key=lambda name: found[name].median)
    return seconds_row(f"--help, slowest of {len(found)}: {slowest}", found[slowest], 0.5)


def median_of(repeats: int, call: Callable[..., float], *arguments: str) -> Summary:
    """Median and quartiles of the seconds of a call."""
    return summary([call(*arguments) for _ in range(repeats)])


def seconds_row(name: str, seconds: Summary, target: float) -> Row:
    """A row of seconds with an upper limit."""
    return Row(
        name=f"overhead, {name}",
        goal=6,
        ours=seconds.median,
        unit="s",
        spread=(seconds.low, seconds.high),
        target=target,
        at_most=True,
    )


def start_rows(project: Project, stages: list[dict[str, Any]], budget: Budget) -> list[Row]:
    """From the start of each component to the first line of its work, against torch's import."""
    first = {stage["component"]: stage for stage in reversed(stages)}
    contenders = {name: starter(project, stage) for name, stage in first.items()}
    contenders["torch"] = lambda: project.call("-c", "import torch")
    times = interleaved(contenders, 0 if budget.quick else budget.seconds / 2)
    theirs = summary(times["torch"]).median
    rows = []
    for name in first:
        share = ratio(times[name], times["torch"])
        rows.append(
            Row(
                name=f"overhead, start of {name}",
                goal=6,
                ours=summary(times[name]).median,
                theirs=theirs,
                unit="s",
                ratio=share.median,
                spread=(share.low, share.high),
                target=1.2,
                at_most=True,
                note="theirs: `import torch`; ratio: ours / theirs, so less is better",
            )
        )
    return rows


def starter(project: Project, stage: Mapping[str, Any]) -> Callable[[], float]:
    """A contender: the stage as it ran, ended at the first line of its work."""
    command = (str(TRACER), str(project.trace), "-m", f"components.{stage['component']}")
    variables = {STOP: "1", "DVC_STAGE": stage["stage"], "MLFLOW_TRACKING_URI": NOBODY}

    def start() -> float:
        begun = time.monotonic()
        project.call(*command, *stage["argv"], **variables)
        return float(project.stages()[-1]["work"]) - begun

    return start
