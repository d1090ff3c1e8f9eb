"""What survives a crash of a training: weights, optimizer state, iteration and curve.

One safetensors file in the stage's scratch folder, keyed by all that decides the training; it
is written whole or not at all, and removed when the stage has succeeded.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from components.training.distributed import from_the_first

Curve = list[dict[str, float]]


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """The file of a training's last good state."""

    path: Path
    key: str

    def save(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, iteration: int, curve: Curve
    ) -> None:
        """Keep the state after ``iteration`` iterations."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        header = json.dumps({"key": self.key, "iteration": iteration, "curve": curve})
        tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
        for number, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{k}": v for k, v in state.items() if v is not None}
        aside = self.path.with_suffix(".partial")
        contiguous = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
        save_file(contiguous, aside, metadata={"resume": header})
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(self.path)

    def load(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, Curve]:
        """Restore the state; the iterations done and the curve, or (0, []) if there is none.

        Of several processes, the first one reads it for all.
        """
        header, tensors = from_the_first(self._read)
        prefix = "network."
        weights = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        if _shapes(weights) != _shapes(network.state_dict()):  # none, or made by other code
            return 0, []
        network.load_state_dict(weights)
        state = optimizer.state_dict()
        state["state"] = _optimizer_state(tensors)
        optimizer.load_state_dict(state)
        _lay_out_as_parameters(optimizer)
        return header["iteration"], header["curve"]

    def _read(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        try:
            with safe_open(self.path, framework="pt") as file:
                header = json.loads(file.metadata()["resume"])
                if header["key"] != self.key:
                    return {}, {}
                return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (FileNotFoundError, SafetensorError, KeyError, TypeError):
            return {}, {}

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
