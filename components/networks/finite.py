"""No NaN and no infinity ever enters a checkpoint."""

from collections.abc import Mapping

import torch
from torch import Tensor

from components.errors import InputError


def check_finite(tensors: Mapping[str, Tensor], when: str) -> None:
    """Refuse tensors of which one holds NaN or infinity.

    Args:
        tensors: by name.
        when: begins the message, such as "after iteration 40".

    Raises:
        InputError: naming the first such tensor and how many of its values are not finite.
    """
    floats = {name: t for name, t in tensors.items() if t.is_floating_point() and t.numel()}
    if not floats:
        return
    finite = torch.stack([t.detach().isfinite().all().cpu() for t in floats.values()]).tolist()
    if all(finite):
        return
    name = next(name for name, good in zip(floats, finite, strict=True) if not good)
    bad = int((~floats[name].isfinite()).sum())
    raise InputError(
        f"{when}, {bad} of the {floats[name].numel()} values of '{name}' are not finite, so "
        "nothing was written: the training diverged. Lower solver.lr, or add "
        "solver.warmup_iterations; the last good state is kept in the scratch folder"
    )
