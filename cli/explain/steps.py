"""What each step of a schedule trains, freezes and lacks (Faster R-CNN, 3.2)."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from components.training.solver import trained_parameters
from components.training.steps import first_blocks, trained_convs
from models.faster_rcnn import Architecture, FasterRCNN

Schedule = Literal["four_step", "joint", "per_batch"]
State = Literal["trained", "frozen", "absent"]
STEPS = {
    1: "train the RPN",
    2: "train the detector",
    3: "fine-tune the RPN",
    4: "fine-tune the detector",
}
SCHEDULES: dict[Schedule, dict[int, str]] = {
    "four_step": STEPS,
    "joint": {1: "train RPN and detector at once"},
    "per_batch": {1: "train RPN and detector in turn, batch by batch"},
}
"""The steps of each schedule and what they do; the last two are train_joint's."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the network: its parameters' number, and what each step does to them."""

    name: str
    parameters: int
    states: dict[int, State]


def step_table(architecture: Architecture, schedule: Schedule = "four_step") -> list[Part]:
    """Each part of a network with both parts, through a schedule; none without parameters."""
    if schedule == "four_step":
        networks = {step: step_network(architecture, step) for step in STEPS}
    else:
        networks = {1: joint_network(architecture)}
    counts = {name: size(own) for name, own in parts(networks[max(networks)][0]).items()}
    return [
        Part(name, count, {step: state(name, *networks[step]) for step in networks})
        for name, count in counts.items()
        if count
    ]


def step_network(architecture: Architecture, step: int) -> tuple[FasterRCNN, list[nn.Module]]:
    """A network as a step's stage builds and freezes it, without values, and what learns in it.

    Of steps 1 and 2 with the default ``trained_convs``, the paper's.
    """
    anchors = None if step == 2 else architecture.anchors
    roi = None if step == 1 else architecture.roi
    with torch.device("meta"):
        network = FasterRCNN(replace(architecture, anchors=anchors, roi=roi))
    part = network.require_rpn() if step in (1, 3) else network.require_detector()
    return network, [*trained_convs(network, "upper" if step in (1, 2) else "none"), part]


def joint_network(architecture: Architecture) -> tuple[FasterRCNN, list[nn.Module]]:
    """A network as train_joint builds and freezes it, and what learns in it."""
    with torch.device("meta"):
        network = FasterRCNN(architecture)
    both = [network.require_rpn(), network.require_detector()]
    return network, [*trained_convs(network, "upper"), *both]


def parts(network: FasterRCNN) -> dict[str, list[nn.Parameter]]:
    """The parameters of each part, as the paper speaks of them."""
    first = first_blocks(network)
    shared = list(network.shared.named_parameters())
    rpn = list(network.rpn.parameters()) if network.rpn else []
    head = list(network.detector.head.parameters()) if network.detector else []
    detector = list(network.detector.parameters()) if network.detector else []
    of_head = {id(parameter) for parameter in head}
    return {
        "first convs": [p for name, p in shared if name.startswith(first)],
        "shared convs": [p for name, p in shared if not name.startswith(first)],
        "RPN layers": rpn,
        "per-RoI head": head,
        "class scores and box deltas": [p for p in detector if id(p) not in of_head],
    }


def state(name: str, network: FasterRCNN, modules: list[nn.Module]) -> State:
    """What becomes of a part in a network of which these modules learn."""
    own = parts(network)[name]
    if not own:
        return "absent"
    learning = {id(parameter) for _, parameter in trained_parameters(modules)}
    return "trained" if any(id(parameter) in learning for parameter in own) else "frozen"


def size(parameters: list[nn.Parameter]) -> int:
    """How many numbers parameters hold."""
    return sum(parameter.numel() for parameter in parameters)
