"""The schedules that are compared, by name.

Steps 1 to 4 have N iterations each, so that RPN and detector learn in 2 N of them. So they do in
joint and in per-batch training, and in the unshared networks that are trained twice as long. What
is left out of the four steps is not made up for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from benchmarks.study.stages import Stages
from components.networks.checkpoint import load_part, read_checkpoint, save_checkpoint
from models.faster_rcnn import FasterRCNN


@dataclass(frozen=True, slots=True)
class Step:
    """A training: its name, the checkpoint it started from, and the one it wrote."""

    name: str
    before: Path
    after: Path


@dataclass(frozen=True, slots=True)
class Trained:
    """What a schedule ends in: the checkpoints of the detector and of the RPN, maybe the same.

    ``evaluate`` has what is changed of the section of that name. If ``proposals`` of the test split
    are given, no RPN is run.
    """

    detector: Path
    rpn: Path
    steps: tuple[Step, ...]
    evaluate: Mapping[str, Any] = field(default_factory=dict)
    proposals: Path | None = None


@dataclass(frozen=True, slots=True)
class First:
    """Step 1: the backbone that it and step 2 start from, its RPN, and its proposals."""

    backbone: Path
    rpn: Path
    proposals: Path

    @property
    def step(self) -> Step:
        """The training."""
        return Step("step 1", self.backbone, self.rpn)


def step_1(run: Stages, times: int = 1) -> First:
    """The RPN on convs of its own, in `times` the iterations of a step."""
    backbone = run("init_backbone")["backbone"]
    changes = longer(run, "train_rpn", times)
    rpn = run("train_rpn", {"backbone": backbone}, changes)["rpn"]
    return First(backbone, rpn, run("generate_proposals_1", {"rpn": rpn})["proposals"])


def step_2(
    run: Stages, first: First, changes: Mapping[str, Any], classifier: Path | None = None
) -> Path:
    """A detector on step 1's proposals, from the backbone; or a classifier's box regressors."""
    given = {"backbone": first.backbone, "proposals": first.proposals}
    if classifier:
        given["classifier"] = classifier
    return run("train_detector", given, changes)["detector"]


def unshared(run: Stages, times: int = 1) -> Trained:
    """Step 1's RPN and step 2's detector, each on its own convs."""
    first = step_1(run, times)
    second = step_2(run, first, longer(run, "train_detector", times))
    return Trained(second, first.rpn, (first.step, Step("step 2", first.backbone, second)))


def without_steps_3_and_4(run: Stages) -> Trained:
    """Step 1's RPN layers, as they are, on step 2's convs."""
    apart = unshared(run)
    path = apart.detector.with_name("with_rpn")
    join(apart.detector, apart.rpn, path)
    return Trained(path, path, apart.steps)


def without_step_4(run: Stages) -> Trained:
    """Step 3's network: its RPN is fine-tuned on step 2's convs, its detector still step 2's."""
    apart = unshared(run)
    given = {"rpn": apart.rpn, "detector": apart.detector}
    third = run("finetune_rpn", given)["network"]
    return Trained(third, third, (*apart.steps, Step("step 3", apart.detector, third)))


def four_step(run: Stages) -> Trained:
    """All four steps."""
    three = without_step_4(run)
    third, second = three.rpn, three.steps[1].after
    proposals = run("generate_proposals_3", {"rpn": third})["proposals"]
    given = {"rpn": third, "detector": second, "proposals": proposals}
    fourth = run("finetune_detector", given)["network"]
    return Trained(fourth, fourth, (*three.steps, Step("step 4", third, fourth)))


def together(run: Stages, schedule: Literal["joint", "per_batch"]) -> Trained:
    """Both parts on the same convs from the first iteration on."""
    backbone = run("init_backbone")["backbone"]
    changes = {"schedule": schedule} | longer(run, "train_joint", 2)
    network = run("train_joint", {"backbone": backbone}, changes)["network"]
    return Trained(network, network, (Step(schedule, backbone, network),))


def longer(run: Stages, section: str, times: int) -> dict[str, Any]:
    """The change that gives a training `times` its iterations."""
    solver = run.sections[section]["solver"]
    drops = [times * drop for drop in solver["lr_drops"]]
    return {"solver": {"iterations": times * solver["iterations"], "lr_drops": drops}}


def join(detector: Path, rpn: Path, path: Path) -> None:
    """Write a network of a detector with its convs and of an RPN without them."""
    first, second = read_checkpoint(detector), read_checkpoint(rpn)
    architecture = replace(first.architecture, anchors=second.architecture.anchors)
    network = FasterRCNN(architecture)
    for checkpoint, part in ((first, "shared"), (first, "detector"), (second, "rpn")):
        load_part(checkpoint, network, part)
    save_checkpoint(path, network.state_dict(), architecture, {}, {})


SCHEDULES: dict[str, Callable[[Stages], Trained]] = {
    "four-step": four_step,
    "without step 4": without_step_4,
    "without steps 3 and 4": without_steps_3_and_4,
    "unshared": unshared,
    "unshared, twice as long": lambda run: unshared(run, 2),
    "joint": lambda run: together(run, "joint"),
    "per-batch": lambda run: together(run, "per_batch"),
}
