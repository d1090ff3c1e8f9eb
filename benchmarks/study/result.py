"""What one schedule gave with one seed: scored, kept as JSON, and told to MLflow."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

from benchmarks.study.movement import Movement, movement
from benchmarks.study.schedules import Trained
from benchmarks.study.stages import Stages, evaluation, merged
from components.contract import Output
from components.dataset.index import read_index
from components.digest import path_digest, value_digest
from components.evaluate.passes import pass_over_split
from components.metrics import write_metrics
from components.networks.checkpoint import open_network
from components.outputs import whole_outputs
from components.scoring.average_precision import score_detections
from components.tracking import track

TRAINING = ("train_", "finetune_", "generate_proposals_")
"""How the stages begin whose time is a schedule's."""


@dataclass(frozen=True, slots=True)
class Result:
    """AP figures; seconds of the trainings and of their proposals; movement by step and tensor.

    ``key`` tells which networks, proposals and settings were scored.
    """

    name: str
    seed: int
    key: str
    scores: dict[str, float]
    seconds: float
    moved: dict[str, Movement]


@dataclass(frozen=True, kw_only=True)
class Compare:
    """A result, as MLflow records it: below the run that the schedule's stages are below."""

    metrics: Annotated[Path, Output("Metrics")]
    name: str
    seed: int


def result(
    name: str, seed: int, schedule: Callable[[Stages], Trained], run: Stages, folder: Path
) -> Result:
    """Train by a schedule, score what it gave, and keep that; what is kept is not done again."""
    trained = schedule(run)
    section = merged(run.sections["evaluate"], trained.evaluate)
    files = [path for path in (trained.detector, trained.rpn, trained.proposals) if path]
    key = value_digest([*map(path_digest, files), section])
    path = folder / f"{name}, seed {seed}.json"
    if path.exists() and (kept := read_result(path)).key == key:
        return kept
    found = Result(
        name=name,
        seed=seed,
        key=key,
        scores=score(trained, section, run),
        seconds=sum(seconds_of(run).values()),
        moved={step.name: movement(step) for step in trained.steps},
    )
    record(found, run, path)
    return found


def seconds_of(run: Stages) -> dict[Path, float]:
    """The seconds of each training and of each proposal stage that the schedule needed."""
    return {done.folder: done.seconds for done in run.done if done.use.startswith(TRAINING)}


def score(trained: Trained, section: Mapping[str, Any], run: Stages) -> dict[str, float]:
    """AP figures on the split that the settings evaluate."""
    stage = evaluation(section, run.data, trained.proposals)
    index = read_index(run.index_path)
    detector = open_network(trained.detector, index.classes, "detector")
    apart = trained.rpn != trained.detector
    rpn = open_network(trained.rpn, index.classes, "rpn") if apart else None
    found = sorted(pass_over_split(stage, index, detector, rpn), key=lambda one: one.row)
    return score_detections(index, stage.split, [one.detections for one in found]).summary


def record(found: Result, run: Stages, path: Path) -> None:
    """Keep a result, and tell MLflow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stage = Compare(metrics=path, name=found.name, seed=found.seed)
    named = patch.dict(os.environ, run.names("compare"))
    with named, track(stage), whole_outputs(stage) as aside:
        write_metrics(aside.metrics, asdict(found))


def read_results(folder: Path, names: Iterable[str]) -> list[Result]:
    """The results of schedules, by name, that lie in a folder, and of each in the seeds' order."""
    found = map(read_result, folder.glob("*.json"))
    place = {name: n for n, name in enumerate(names)}
    return sorted(
        (result for result in found if result.name in place),
        key=lambda result: (place[result.name], result.seed),
    )


def read_result(path: Path) -> Result:
    """A result that was kept."""
    values = json.loads(path.read_text())
    moved = {step: Movement(**each) for step, each in values.pop("moved").items()}
    return Result(**values, moved=moved)
