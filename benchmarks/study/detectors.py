"""Variants of step 2 that are compared, by name: Fast R-CNN's own questions, on step 1's proposals.

Each is the step 2 of the settings with one thing changed.
"""

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.study.schedules import Step, Trained, Unshared, steps_1_and_2
from benchmarks.study.stages import Done, Stages

NO_BOX_LOSS = {"targets": {"box_loss_weight": 0.0}}
UNREGRESSED = {"box_regression": False}


def variant(changes: Mapping[str, Any]) -> Callable[[Stages], Trained]:
    """Step 2 with some settings changed."""
    return lambda run: with_detector(*detector(run, changes))


def detector(
    run: Stages, changes: Mapping[str, Any], classifier: Done | None = None
) -> tuple[Unshared, Done]:
    """Steps 1 and 2 of the settings, and another detector beside them."""
    first = steps_1_and_2(run)
    found = run("generate_proposals_1", "generate_proposals", {"rpn": first.rpn["rpn"]})
    given = {"backbone": first.backbone["backbone"], "proposals": found["proposals"]}
    if classifier:
        given["classifier"] = classifier["detector"]
    return first, run("train_detector", "train_detector", given, changes)


def with_detector(
    first: Unshared, trained: Done, detection: Mapping[str, Any] | None = None
) -> Trained:
    """A detector with step 1's RPN."""
    step = Step("step 2", (first.backbone["backbone"],), trained["detector"])
    return Trained(trained["detector"], first.rpn["rpn"], (step,), detection or {})


def classifier_only(run: Stages) -> Trained:
    """No box loss, and the proposals are the boxes."""
    return with_detector(*detector(run, NO_BOX_LOSS), UNREGRESSED)


def multi_task_unregressed(run: Stages) -> Trained:
    """Trained on both losses; the proposals are the boxes."""
    return with_detector(*detector(run, {}), UNREGRESSED)


def stage_wise(run: Stages) -> Trained:
    """The classifier first, then its box regressors alone."""
    _, classifier = detector(run, NO_BOX_LOSS)
    return with_detector(*detector(run, {}, classifier))


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
    "classifier only, no box regression": classifier_only,
    "multi-task, no box regression": multi_task_unregressed,
    "stage-wise, box regression": stage_wise,
}
