"""How far a training moved each layer."""

from dataclasses import dataclass

from safetensors.torch import load_file

from benchmarks.study.schedules import Step


@dataclass(frozen=True, slots=True)
class Movement:
    """Of what was there before a training; layers that started anew are left out.

    ``changes``: by tensor, in the file's order, norm of the change over the norm before; not of
    new biases, whose norm was 0. ``fixed``: by part, whether all of its tensors are bit-equal.
    """

    changes: dict[str, float]
    fixed: dict[str, bool]


def movement(step: Step) -> Movement:
    """How far a step moved what it started from."""
    before = load_file(step.before)
    changes: dict[str, float] = {}
    fixed: dict[str, bool] = {}
    for name, after in load_file(step.after).items():
        start = before.get(name)
        if start is None or start.shape != after.shape:
            continue
        part = name.partition(".")[0]
        fixed[part] = fixed.get(part, True) and bool((start == after).all())
        if start.is_floating_point() and (norm := start.norm().item()):
            changes[name] = (after - start).norm().item() / norm
    return Movement(changes, fixed)
