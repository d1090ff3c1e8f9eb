"""How far a training moved each layer."""

from safetensors.torch import load_file

from benchmarks.study.schedules import Step


def movement(step: Step) -> dict[str, float]:
    """By tensor, in the network's order: norm of the change over the norm before; 0 if it is fixed.

    Tensors that were not there before (layers that started anew) or had norm 0 (new biases) have
    no such ratio, and are left out.
    """
    before = {name: value for path in step.before for name, value in load_file(path).items()}
    found = {}
    for name, after in load_file(step.after).items():
        start = before.get(name)
        if start is None or not start.is_floating_point() or start.shape != after.shape:
            continue
        if norm := start.norm().item():
            found[name] = (after - start).norm().item() / norm
    return found


def is_fixed(step: Step) -> dict[str, bool]:
    """By part, whether all of its tensors that were there before are bit-equal."""
    parts: dict[str, bool] = {}
    before = {name: value for path in step.before for name, value in load_file(path).items()}
    for name, after in load_file(step.after).items():
        if name in before and before[name].shape == after.shape:
            part = name.partition(".")[0]
            parts[part] = parts.get(part, True) and bool((before[name] == after).all())
    return parts
