"""The settings that an explanation uses: those of the training, as the checkpoints name them."""

from dataclasses import dataclass
from typing import TypeVar

from cli.explain.steps import Schedule
from components.errors import InputError
from components.networks.checkpoint import Checkpoint
from components.training.parameters import SolverParameters
from models.parameters import (
    DetectionParameters,
    ProposalParameters,
    RoITargetParameters,
    RPNTargetParameters,
)

Group = TypeVar("Group")


@dataclass(frozen=True, slots=True)
class Settings:
    """Assignment and sampling as trained; limits of proposals and detections as tested.

    schedule: by which the network was trained.
    images_per_batch: N, over whose images the RoIs of a mini-batch are spread.
    """

    schedule: Schedule

    rpn_targets: RPNTargetParameters
    roi_targets: RoITargetParameters
    images_per_batch: int
    seed: int
    proposals: ProposalParameters
    detection: DetectionParameters


def read_settings(network: Checkpoint, rpn: Checkpoint | None, stride: int) -> Settings:
    """The settings of the network's checkpoint and, for step 4's anchors, of step 1's.

    A checkpoint does not hold the limits of proposals: they are the paper's for a test (6000 into
    NMS, 300 kept), with a shortest side of one cell, as the paper's code has it. What no
    checkpoint names has the paper's value.

    Args:
        network: step 4's, or that of joint training.
        rpn: step 1's, if there is one.
        stride: input pixels a cell.

    Raises:
        InputError: a header's settings are not those of this version.
    """
    solver = group(network, "solver", SolverParameters)
    schedule = schedule_of(network)
    if schedule != "four_step":
        rpn_targets = group(network, "rpn_targets", RPNTargetParameters)
    else:
        rpn_targets = group(rpn, "targets", RPNTargetParameters) if rpn else RPNTargetParameters()
    return Settings(
        schedule=schedule,
        rpn_targets=rpn_targets,
        roi_targets=group(network, "roi_targets", RoITargetParameters),
        images_per_batch=solver.images_per_batch,
        seed=solver.seed,
        proposals=ProposalParameters(pre_nms=6000, post_nms=300, min_size=float(stride)),
        detection=DetectionParameters(),
    )


def schedule_of(network: Checkpoint) -> Schedule:
    """The schedule by which a network was trained: train_joint's checkpoints name theirs."""
    found: Schedule = network.parameters.get("schedule", "four_step")
    return found


def group(checkpoint: Checkpoint, name: str, make: type[Group]) -> Group:
    """A group of the flattened parameters in a checkpoint's header.

    Raises:
        InputError: naming the checkpoint, the group and what is wrong with it.
    """
    values = {
        key.removeprefix(f"{name}."): tuple(value) if isinstance(value, list) else value
        for key, value in checkpoint.parameters.items()
        if key.startswith(f"{name}.")
    }
    try:
        return make(**values)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{checkpoint.path}: its settings '{name}' are not those of this version ({error}); "
            "train it again"
        ) from None
