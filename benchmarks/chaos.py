"""Kill anywhere: ``make chaos``, or ``python -m benchmarks.chaos --kills 54``.

One project runs `dvc repro` undisturbed. In a second one, each stage is killed with SIGKILL again
and again, together with dvc and all worker processes: after a random time, or as soon as a file
is being written. Each training also gets a SIGTERM, and has to end within 10 seconds. Each time
`dvc repro` has to go on from the last resume point. What is then left two `dvc repro` run at once.
At the end both projects must hold the same bytes: weights, proposals, metrics, pages and the ONNX
model.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path
from typing import Any

import psutil
import yaml
from safetensors import SafetensorError, safe_open

from benchmarks.disk import ROOT, dvc_stages

CODE = ("models", "components", "pipelines", "cli", "dvc.yaml", ".dvcignore")
STAGES = dvc_stages()
TRAINING = ("train_rpn", "train_detector", "finetune_rpn", "finetune_detector")
NO_SCM = "[core]\n    no_scm = true"
POLL_S = 0.1
"""Between two looks for a stage's process: each goes through all processes."""
WATCH_S = 0.005
GRACE_S = 10.0
"""A training has to end so soon after SIGTERM."""
RETRIES = 6
"""Tries for a kill: a stage may end before its moment has come. Each is sooner than the last."""


@dataclass(frozen=True, slots=True)
class Kill:
    """What was killed: stage, how the moment was chosen, the seconds after the stage's start.

    ``kept`` is the iteration of the resume point left behind, ``went_on`` the one from which the
    next run said it goes on; None without one. ``ended_in_s`` is how long it lived after SIGTERM.
    """

    stage: str
    moment: str
    after_s: float
    ended_in_s: float | None = None
    kept: int | None = None
    went_on: int | None = None

    @property
    def nothing_lost(self) -> bool:
        """Whether the next run went on from what was kept."""
        return self.kept is None or self.kept == self.went_on


class Project:
    """A copy of the project in a folder of its own, with short trainings."""

    def __init__(self, folder: Path, data: Path, iterations: int) -> None:
        self.folder = folder
        for name in CODE:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder / name)
        shutil.copytree(data, folder / "data")
        (folder / ".dvc").mkdir()
        config = (ROOT / ".dvc" / "config").read_text()
        (folder / ".dvc" / "config").write_text(config.replace("[core]", NO_SCM))
        text = yaml.safe_dump(short_params(iterations), sort_keys=False)
        (folder / "params.yaml").write_text(text)

    def repro(self, log: Path) -> "subprocess.Popen[bytes]":
        """Start `dvc repro` in a process group of its own."""
        commands = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        here = {"PYTHONPATH": str(self.folder), "FOURSTEP_TRACKING": "off", "PATH": commands}
        with log.open("wb") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "dvc", "repro"],
                cwd=self.folder,
                env=os.environ | here,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def run(self, log: Path) -> None:
        """Run `dvc repro` to its end.

        Raises:
            SystemExit: it failed; with the end of its log.
        """
        if self.repro(log).wait():
            raise SystemExit(f"dvc repro failed:\n{log.read_text(errors='replace')[-4000:]}")

    def run_two(self, log: Path) -> None:
        """Run `dvc repro` twice at once. DVC may refuse one of them: `run` does the rest."""
        logs = [log.with_suffix(f".{number}.log") for number in (1, 2)]
        for process in list(map(self.repro, logs)):
            process.wait()
        log.write_bytes(b"".join(each.read_bytes() for each in logs))

    def resume_point(self, stage: str) -> int | None:
        """The iteration of a training's resume point, read as the training itself reads it."""
        path = self.folder / "build/.scratch" / stage / "unfinished/resume.safetensors"
        try:
            with safe_open(path, framework="np") as file:
                return int(json.loads(file.metadata()["resume"])["progress"]["done"])
        except (OSError, SafetensorError):
            return None

    def being_written(self, stage: str) -> bool:
        """Whether the stage has a half-written file: an output, or its resume point."""
        places = (f"{stage}/.*.partial/*", f".scratch/{stage}/**/*.partial")
        return any(glob(f"{self.folder}/build/{place}", recursive=True) for place in places)

    def outputs(self) -> dict[str, str]:
        """The digest of every output, as DVC notes them."""
        lock = yaml.safe_load((self.folder / "dvc.lock").read_text())
        return {
            out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]
        }


def short_params(iterations: int) -> dict[str, object]:
    """The embedded default's params.yaml with trainings of some iterations."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["init_backbone"]["crops"]["epochs"] = 2
    for stage in TRAINING:
        params[stage]["solver"] |= {
            "iterations": iterations,
            "lr_drops": [iterations * 3 // 4],
            "log_every": 5,
            "checkpoint_every": 10,
        }
    return dict(params)


def kill_tree(process: "subprocess.Popen[bytes]") -> None:
    """SIGKILL for a process, its children and theirs, as a machine that loses power.

    The group first, at once: what one of them starts just then is killed, too.
    """
    try:
        tree = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        tree = []
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for each in tree:  # worker processes have groups of their own
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()
    while any(map(is_alive, tree)):
        time.sleep(WATCH_S)


def stage_process(parent: int, stage: str) -> psutil.Process | None:
    """The process that DVC started for a stage, or None as long as there is none."""
    try:
        for child in psutil.Process(parent).children(recursive=True):
            if child.name().startswith("python") and child.environ().get("DVC_STAGE") == stage:
                return child
    except psutil.Error:
        pass
    return None


def is_alive(process: psutil.Process) -> bool:
    """Whether a process is at work: it has not ended, and waits for nobody to take note."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def kill_once(project: Project, stage: str, moment: str, within_s: float, log: Path) -> Kill | None:
    """Run `dvc repro` and kill all of it in a stage; None if it had ended before its moment came.

    Raises:
        SystemExit: dvc failed before it came to the stage.
    """
    process = project.repro(log)
    while (child := stage_process(process.pid, stage)) is None:
        if process.poll():
            raise SystemExit(f"{stage} did not run:\n{log.read_text(errors='replace')[-4000:]}")
        if process.returncode == 0:  # the last kill met a stage that had just ended
            return None
        time.sleep(POLL_S)
    start = time.monotonic()
    limit = start + random.uniform(0, within_s)
    kill = None
    while kill is None and is_alive(child):
        passed = time.monotonic() >= limit
        now = project.being_written(stage) if moment == "writing" else passed
        if now:
            kill = Kill(stage, moment, time.monotonic() - start)
        else:
            time.sleep(WATCH_S)
    if kill and moment == "SIGTERM":
        kill = replace(kill, ended_in_s=terminate(child))
    kill_tree(process)
    return kill and replace(kill, kept=project.resume_point(stage))


def terminate(process: psutil.Process) -> float:
    """SIGTERM for a process; the seconds until it has ended, at most some more than `GRACE_S`."""
    start = time.monotonic()
    with suppress(psutil.NoSuchProcess):
        process.terminate()
    while is_alive(process) and time.monotonic() - start < 3 * GRACE_S:
        time.sleep(WATCH_S)
    return time.monotonic() - start


def went_on(log: Path) -> int | None:
    """The iteration from which a run says that its first training goes on."""
    text = log.read_text(errors="replace")
    mark = "going on from iteration "
    return int(text.split(mark)[1].split()[0]) if mark in text else None


def chaos(project: Project, kills: int, within_s: dict[str, float], log: Path) -> Iterator[Kill]:
    """Stop each stage in turn as `plan` says; then two `dvc repro` do what is left."""
    last: Kill | None = None
    for stage, moment in plan(kills):
        for attempt in range(RETRIES):
            kill = kill_once(project, stage, moment, within_s[stage] / 4**attempt, log)
            if last:
                yield judged(last, project, log)
            last = kill
            if kill:
                break
            forget(project, stage)  # it had ended: it runs again, from nothing
    project.run_two(log)
    if last:
        yield judged(last, project, log)


def plan(kills: int) -> Iterator[tuple[str, str]]:
    """The stage and the moment of each of the kills, and a SIGTERM for each training among them."""
    for number, stage in enumerate(STAGES):
        share = kills // len(STAGES) + (number < kills % len(STAGES))
        for count in range(share):
            yield stage, "writing" if count % 2 else "random"
        if share and stage in TRAINING:
            yield stage, "SIGTERM"


def judged(kill: Kill, project: Project, log: Path) -> Kill:
    """A kill with what the next run said of it."""
    said = went_on(log)
    if said is None and project.resume_point(kill.stage) == kill.kept:
        said = kill.kept  # killed again before it came to its training
    return replace(kill, went_on=said)


def forget(project: Project, stage: str) -> None:
    """Make a finished stage run again."""
    lock = project.folder / "dvc.lock"
    content = yaml.safe_load(lock.read_text())
    content["stages"].pop(stage, None)
    lock.write_text(yaml.safe_dump(content))
    shutil.rmtree(project.folder / "build" / stage, ignore_errors=True)
    shutil.rmtree(project.folder / ".dvc/cache/runs", ignore_errors=True)


def durations(project: Project, log: Path) -> dict[str, float]:
    """Run a project undisturbed; how long each of its stages took, in seconds."""
    process = project.repro(log)
    seen: dict[str, list[float]] = {stage: [] for stage in STAGES}
    while process.poll() is None:
        for stage in STAGES:
            if stage_process(process.pid, stage):
                seen[stage].append(time.monotonic())
                break
        time.sleep(POLL_S)
    if process.returncode:
        raise SystemExit(f"dvc repro failed:\n{log.read_text(errors='replace')[-4000:]}")
    return {stage: times[-1] - times[0] if times else 1.0 for stage, times in seen.items()}


def main() -> None:
    """Run, kill, compare, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=54)
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--images", type=int, default=40, help="training scenes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("build/chaos"))
    parser.add_argument("--result", type=Path, default=Path("build/chaos.json"))
    given = parser.parse_args()
    random.seed(given.seed)
    found = measure(given.folder.absolute(), given.kills, given.iterations, given.images)
    given.result.write_text(json.dumps(found, indent=1) + "\n")
    print(
        f"{found['kills']} kills, {found['while_writing']} while writing, "
        f"in {len(found['by_stage'])} stages, and {found['terminated']} times SIGTERM, "
        f"after which a training lived {found['longest_end_s']:.1f} s at most; "
        f"{found['went_on']} with a resume point, {found['lost']} of these lost; "
        f"{found['outputs']} outputs, {len(found['differ'])} differ; {found['seconds']:.0f} s"
    )
    if found["lost"] or found["differ"] or found["longest_end_s"] > GRACE_S:
        raise SystemExit(f"lost or different: {found}")


def measure(folder: Path, kills: int, iterations: int, images: int) -> dict[str, Any]:
    """The figures of one run of everything."""
    from cli.demo_data import make_demo_data

    start = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make_demo_data(folder / "data", train_images=images, test_images=max(6, images // 5))
    whole = Project(folder / "undisturbed", folder / "data", iterations)
    within = durations(whole, folder / "undisturbed.log")
    killed = Project(folder / "killed", folder / "data", iterations)
    log = folder / "killed.log"
    done: list[Kill] = []
    for kill in chaos(killed, kills, within, log):
        print(f"{len(done) + 1:3} {kill}", flush=True)
        done.append(kill)
    killed.run(log)
    wanted, got = whole.outputs(), killed.outputs()
    ended = [kill.ended_in_s for kill in done if kill.ended_in_s is not None]
    return {
        "kills": len(done) - len(ended),
        "terminated": len(ended),
        "longest_end_s": max(ended, default=0.0),
        "by_stage": {s: sum(k.stage == s for k in done) for s in STAGES},
        "while_writing": sum(kill.moment == "writing" for kill in done),
        "went_on": sum(kill.kept is not None for kill in done),
        "lost": sum(not kill.nothing_lost for kill in done),
        "outputs": len(wanted),
        "differ": sorted(p for p in wanted.keys() | got.keys() if wanted.get(p) != got.get(p)),
        "left_over": [p.name for p in (killed.folder / "build").rglob("*.partial")],
        "seconds": time.monotonic() - start,
    }


if __name__ == "__main__":
    main()
