"""How far a training moved each layer."""

from dataclasses import dataclass

from safetensors.torch import load_file

from benchmarks.study.schedules import Step
from components.networks.checkpoint import read_checkpoint
from models.faster_rcnn import FasterRCNN


@dataclass(frozen=True, slots=True)
class Movement:
    """Of what was there before a training; layers that started anew are left out.

    ``changes``: by parameter, norm of the change over the norm before; not of new biases, whose
    norm was 0. ``fixed``: by part, whether all of its tensors are bit-equal.
    """

    changes: dict[str, float]
    fixed: dict[str, bool]


def movement(step: Step) -> Movement:
    """How far a step moved what it started from."""
    before, after = load_file(step.before), load_file(step.after)
    kept = [n for n in after if n in before and before[n].shape == after[n].shape]
    fixed: dict[str, bool] = {}
    for name in kept:
        part = name.partition(".")[0]
        fixed[part] = fixed.get(part, True) and bool((before[name] == after[name]).all())
    changes = {
        name: (after[name] - before[name]).norm().item() / norm
        for name, _ in FasterRCNN(read_checkpoint(step.after).architecture).named_parameters()
        if name in kept and (norm := before[name].norm().item())
    }
    return Movement(changes, fixed)
