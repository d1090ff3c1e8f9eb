"""What survives a crash of a training: weights, optimizer state, iteration and curve.

One safetensors file in the stage's scratch folder, keyed by all that decides the training; it
is written whole or not at all, and removed when the stage has succeeded.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from components.disk import check_writable, room_for, write_tensors
from components.errors import InputError
from components.networks.finite import check_finite
from components.training.distributed import from_the_first

Curve = list[dict[str, float]]
Row = tuple[int, list[str], list[float]]
"""Of an iteration that is not in the curve yet: its number, its images and its losses."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training came: iterations done, the curve, and the losses since its last line.

    ``names`` are those of each row's losses.
    """

    done: int = 0
    curve: Curve = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """The file of a training's last good state."""

    path: Path
    key: str

    def save(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        """Keep the state after ``progress.done`` iterations.

        Raises:
            InputError: it is not finite, or the disk refuses; the state before stays.
        """
        tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
        for number, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{k}": v for k, v in state.items() if v is not None}
        check_finite(tensors, f"after iteration {progress.done}")
        header = json.dumps({"key": self.key, "progress": asdict(progress)})
        aside = self.path.with_suffix(".partial")
        check_writable(aside)
        contiguous = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
        try:
            write_tensors(aside, contiguous, {"resume": header})
            with room_for(aside), aside.open("rb") as file:
                os.fsync(file.fileno())
        except InputError:
            aside.unlink(missing_ok=True)  # it would take the room that the user makes
            raise
        aside.replace(self.path)

    def load(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
        """Restore the state; how far it is, or nothing done if there is none.

        Of several processes, the first one reads it for all.
        """
        progress, tensors = from_the_first(self._read)
        prefix = "network."
        weights = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        if _shapes(weights) != _shapes(network.state_dict()):  # none, or made by other code
            return Progress()
        network.load_state_dict(weights)
        state = optimizer.state_dict()
        state["state"] = _optimizer_state(tensors)
        optimizer.load_state_dict(state)
        _lay_out_as_parameters(optimizer)
        return progress

    def _read(self) -> tuple[Progress, dict[str, Tensor]]:
        try:
            with safe_open(self.path, framework="pt") as file:
                header = json.loads(file.metadata()["resume"])
                if header["key"] != self.key:
                    return Progress(), {}
                names = file.keys()
                return Progress(**header["progress"]), {n: file.get_tensor(n) for n in names}
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return Progress(), {}

    def remove(self) -> None:
        """Forget the state."""
        self.path.unlink(missing_ok=True)


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in weights.items()}


def _lay_out_as_parameters(optimizer: torch.optim.Optimizer) -> None:
    """Give the state the parameters' memory format: fused optimizers read both as they lie."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if torch.is_tensor(value) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, requires_grad=False).copy_(value)


def _optimizer_state(tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        owner, _, rest = name.partition(".")
        if owner == "optimizer":
            number, key = rest.split(".", 1)
            state.setdefault(int(number), {})[key] = value
    return state
