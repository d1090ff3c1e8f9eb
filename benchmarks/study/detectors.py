"""Variants of step 2 that are compared, by name: Fast R-CNN's own questions.

Each is the step 2 of the settings with one thing changed, on step 1's proposals or on those of
selective search.
"""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.disk import ROOT
from benchmarks.study.schedules import First, Step, Trained, step_1, step_2
from benchmarks.study.stages import Stages
from examples import selective_search

NO_BOX_LOSS = {"targets": {"box_loss_weight": 0.0}}
UNREGRESSED = {"detection": {"box_regression": False}}
MOST = {"proposals": {"post_nms": selective_search.MOST}}


def variant(
    changes: Mapping[str, Any], evaluate: Mapping[str, Any] | None = None
) -> Callable[[Stages], Trained]:
    """Step 2 with some settings changed, and maybe those of its evaluation."""

    def train(run: Stages) -> Trained:
        first = step_1(run)
        return with_step_1(first, step_2(run, first, changes), evaluate)

    return train


def stage_wise(run: Stages) -> Trained:
    """The classifier first, then its box regressors alone."""
    first = step_1(run)
    classifier = step_2(run, first, NO_BOX_LOSS)
    return with_step_1(first, step_2(run, first, {}, classifier))


def with_step_1(first: First, detector: Path, evaluate: Mapping[str, Any] | None = None) -> Trained:
    """A detector with step 1's RPN."""
    steps = (Step("step 2", first.backbone, detector),)
    return Trained(detector, first.rpn, steps, evaluate or {})


def on_selective_search(run: Stages) -> Trained:
    """Fast R-CNN as it was: no RPN, in training or at test."""
    backbone = run("init_backbone")["backbone"]
    given = {"backbone": backbone, "proposals": searched(run, "train")}
    detector = run("train_detector", given)["detector"]
    steps = (Step("step 2", backbone, detector),)
    return Trained(detector, detector, steps, MOST, searched(run, "test"))


def searched(run: Stages, split: str) -> Path:
    """The proposals of selective search; they are made once."""
    path = run.folder / f"selective_search-{split}.arrow"
    if not path.exists():
        command = [sys.executable, "-m", selective_search.__name__, f"--split={split}"]
        command += [f"--data={run.data}", f"--index={run.index_path}", f"--proposals={path}"]
        subprocess.run(command, check=True, stdout=sys.stderr, cwd=ROOT)
    return path


DETECTORS: dict[str, Callable[[Stages], Trained]] = {
    "settings": variant({}),
    "RoI max pooling": variant({"roi": {"operator": "pool"}}),
    "RoIAlign": variant({"roi": {"operator": "align"}}),
    "convs: none (SPPnet)": variant({"trained_convs": "none"}),
    "convs: all": variant({"trained_convs": "all"}),
    "background from 0.1": variant({"targets": {"background_iou_low": 0.1}}),
    "background from 0": variant({"targets": {"background_iou_low": 0.0}}),
    "half of the RoIs foreground": variant({"targets": {"foreground_fraction": 0.5}}),
    "lambda 0.1": variant({"targets": {"box_loss_weight": 0.1}}),
    "lambda 10": variant({"targets": {"box_loss_weight": 10.0}}),
    "classifier only, no box regression": variant(NO_BOX_LOSS, UNREGRESSED),
    "multi-task, no box regression": variant({}, UNREGRESSED),
    "stage-wise, box regression": stage_wise,
    "selective search's proposals": on_selective_search,
}
