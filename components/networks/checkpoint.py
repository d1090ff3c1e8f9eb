"""Checkpoints: safetensors with one JSON header. No pickle.

The header, under the metadata key ``fourstep``, holds ``architecture`` (see
`models.faster_rcnn.Architecture`), ``parameters`` of the stage that trained it, and
``upstream``: the digests of what it was made from.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from components.disk import write_tensors
from components.errors import InputError
from components.networks.finite import check_finite
from models.faster_rcnn import Architecture, FasterRCNN
from models.parameters import AnchorParameters, InputParameters, RoIHeadParameters

KEY = "fourstep"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint's header; `load_part` and `load_network` read its tensors."""

    path: Path
    architecture: Architecture
    parameters: dict[str, Any]
    upstream: dict[str, str]


def save_checkpoint(
    path: Path,
    tensors: dict[str, Tensor],
    architecture: Architecture,
    parameters: dict[str, Any],
    upstream: dict[str, str],
) -> None:
    """Write tensors and header; the same values give the same bytes.

    Raises:
        InputError: a tensor is not finite, or the disk has no room.
    """
    check_finite(tensors, "at the end")
    header = {
        "architecture": asdict(architecture),
        "parameters": parameters,
        "upstream": upstream,
    }
    # One key only: safetensors writes several in no fixed order.
    metadata = {KEY: json.dumps(header, sort_keys=True)}
    contiguous = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    write_tensors(path, contiguous, metadata)


def read_checkpoint(path: Path) -> Checkpoint:
    """The header of a checkpoint.

    Raises:
        InputError: the file is no checkpoint of this project.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[KEY])
        return Checkpoint(
            path,
            _architecture(header["architecture"]),
            header["parameters"],
            header["upstream"],
        )
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a fourstep checkpoint ({error})") from None


def _architecture(value: dict[str, Any]) -> Architecture:
    anchors, roi = value["anchors"], value["roi"]
    if anchors:
        anchors = AnchorParameters(
            base_size=anchors["base_size"],
            scales=tuple(anchors["scales"]),
            ratios=tuple(anchors["ratios"]),
        )
    return Architecture(
        backbone=value["backbone"],
        norm=value["norm"],
        classes=tuple(value["classes"]),
        input=InputParameters(
            **(value["input"] | {"scales": tuple(value["input"].get("scales", ()))})
        ),
        anchors=anchors or None,
        roi=RoIHeadParameters(**roi) if roi else None,
    )


def load_part(checkpoint: Checkpoint, network: nn.Module, part: str) -> None:
    """Copy one part (``shared``, ``rpn``, ``detector`` or ``detector.head``) into a network.

    Raises:
        InputError: a tensor of the part is absent, left over or of another shape.
    """
    with safe_open(checkpoint.path, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith(f"{part}.")]  # noqa: SIM118
        tensors = {name.removeprefix(f"{part}."): file.get_tensor(name) for name in names}
    try:
        network.get_submodule(part).load_state_dict(tensors)
    except (RuntimeError, AttributeError) as error:
        raise InputError(
            f"{checkpoint.path}: its part '{part}' does not fit this network ({error})"
        ) from None


def load_network(path: Path) -> FasterRCNN:
    """The network of a checkpoint with all the parts it has, in eval mode.

    Raises:
        InputError: the file is no checkpoint or lacks tensors of its own architecture.
    """
    checkpoint = read_checkpoint(path)
    network = FasterRCNN(checkpoint.architecture)
    for part in ("shared", "rpn", "detector"):
        if getattr(network, part) is not None:
            load_part(checkpoint, network, part)
    return network.eval()


def open_network(path: Path, classes: tuple[str, ...], *parts: str) -> FasterRCNN:
    """The network of a checkpoint, in eval mode, once its header fits.

    Args:
        path: the checkpoint.
        classes: the data's.
        parts: ``rpn`` and ``detector``, as far as they are needed.

    Raises:
        InputError: as `read_checkpoint`, `check_classes`, `check_parts` and `load_network`.
    """
    checkpoint = read_checkpoint(path)
    check_classes(checkpoint, classes)
    check_parts(checkpoint, *parts)
    return load_network(path)


def check_parts(checkpoint: Checkpoint, *parts: str) -> None:
    """Refuse a checkpoint without a part, ``rpn`` or ``detector``, that is needed.

    Raises:
        InputError: naming the part and the stages that write it.
    """
    has = {"rpn": checkpoint.architecture.anchors, "detector": checkpoint.architecture.roi}
    for part in parts:
        if has[part] is None:
            raise InputError(
                f"{checkpoint.path}: this checkpoint has no {part}; give that of train_{part} or "
                "finetune. Were two checkpoints swapped?"
            )


def check_alike(checkpoint: Checkpoint, other: Checkpoint) -> None:
    """Refuse two checkpoints that were not started from one backbone and resize rule.

    Raises:
        InputError: naming both files and what differs.
    """
    for name in ("backbone", "norm", "input"):
        one, two = (getattr(c.architecture, name) for c in (checkpoint, other))
        if one != two:
            raise InputError(
                f"{other.path}: its {name} is {two}, but that of {checkpoint.path} is {one}; "
                "train both from the same init_backbone"
            )


def check_classes(checkpoint: Checkpoint, classes: tuple[str, ...]) -> None:
    """Refuse a checkpoint of other classes than the data's (``classes``).

    Raises:
        InputError: naming both lists.
    """
    if checkpoint.architecture.classes != classes:
        raise InputError(
            f"{checkpoint.path}: made for classes {list(checkpoint.architecture.classes)}, but "
            f"the data has {list(classes)}; train again from init_backbone"
        )
