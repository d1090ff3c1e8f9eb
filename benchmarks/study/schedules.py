"""The schedules that are compared, by name.

Steps 1 to 4 have N iterations each, so that RPN and detector learn in 2 N of them. So they do in
joint and in per-batch training, and in the unshared networks that are trained twice as long. What
is left out of the four steps is not made up for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from benchmarks.study.stages import Done, Stages
from components.networks.checkpoint import load_part, read_checkpoint, save_checkpoint
from models.faster_rcnn import FasterRCNN


@dataclass(frozen=True, slots=True)
class Step:
    """A training: its name, the checkpoints it started from, and the one it wrote."""

    name: str
    before: tuple[Path, ...]
    after: Path


@dataclass(frozen=True, slots=True)
class Trained:
    """What a schedule ends in: the checkpoints of the detector and of the RPN, maybe the same.

    ``detection`` has what is changed of the settings for detections.
    """

    detector: Path
    rpn: Path
    steps: tuple[Step, ...]
    detection: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unshared:
    """The backbone, step 1 and step 2."""

    backbone: Done
    rpn: Done
    detector: Done

    @property
    def steps(self) -> tuple[Step, Step]:
        """Both trainings start from the backbone."""
        start = (self.backbone["backbone"],)
        return (
            Step("step 1", start, self.rpn["rpn"]),
            Step("step 2", start, self.detector["detector"]),
        )


def steps_1_and_2(run: Stages, times: int = 1) -> Unshared:
    """Both networks on convs of their own, in `times` the iterations of a step."""
    backbone = run("init_backbone", "init_backbone")
    start = {"backbone": backbone["backbone"]}
    rpn = run("train_rpn", "train_rpn", start, longer(run, "train_rpn", times))
    found = run("generate_proposals_1", "generate_proposals", {"rpn": rpn["rpn"]})
    given = start | {"proposals": found["proposals"]}
    changes = longer(run, "train_detector", times)
    return Unshared(backbone, rpn, run("train_detector", "train_detector", given, changes))


def step_3(run: Stages, first: Unshared) -> Done:
    """The RPN, fine-tuned on step 2's convs."""
    given = {"rpn": first.rpn["rpn"], "detector": first.detector["detector"]}
    return run("finetune_rpn", "finetune", given)


def unshared(run: Stages, times: int = 1) -> Trained:
    """Step 1's RPN and step 2's detector, each on its own convs."""
    first = steps_1_and_2(run, times)
    return Trained(first.detector["detector"], first.rpn["rpn"], first.steps)


def without_steps_3_and_4(run: Stages) -> Trained:
    """Step 1's RPN layers, as they are, on step 2's convs."""
    first = steps_1_and_2(run)
    path = first.detector.folder / "with_rpn"
    join(first.detector["detector"], first.rpn["rpn"], path)
    return Trained(path, path, first.steps)


def without_step_4(run: Stages) -> Trained:
    """Step 3's network: its detector is still step 2's."""
    first = steps_1_and_2(run)
    third = step_3(run, first)["network"]
    return Trained(third, third, (*first.steps, third_step(first, third)))


def four_step(run: Stages) -> Trained:
    """All four steps."""
    first = steps_1_and_2(run)
    third = step_3(run, first)["network"]
    found = run("generate_proposals_3", "generate_proposals", {"rpn": third})
    given = {
        "rpn": third,
        "detector": first.detector["detector"],
        "proposals": found["proposals"],
    }
    fourth = run("finetune_detector", "finetune", given)["network"]
    last = Step("step 4", (third,), fourth)
    return Trained(fourth, fourth, (*first.steps, third_step(first, third), last))


def together(run: Stages, schedule: Literal["joint", "per_batch"]) -> Trained:
    """Both parts on the same convs from the first iteration on."""
    backbone = run("init_backbone", "init_backbone")["backbone"]
    changes = {"schedule": schedule} | longer(run, "train_joint", 2)
    network = run("train_joint", "train_joint", {"backbone": backbone}, changes)["network"]
    return Trained(network, network, (Step(schedule, (backbone,), network),))


def third_step(first: Unshared, third: Path) -> Step:
    """Step 3: its convs and detector were step 2's, its RPN layers started anew."""
    return Step("step 3", (first.detector["detector"],), third)


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
