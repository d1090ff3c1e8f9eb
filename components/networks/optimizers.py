"""torch's SGD and AdamW without torch.compile's machinery.

torch wraps the methods of its optimizers for torch.compile; the wrappers import ``torch._dynamo``,
which takes as long as torch itself. Here are the methods below the wrappers. If torch wraps them in
another way one day, the import comes back, and nothing else changes.
"""

from collections.abc import Callable
from inspect import unwrap
from typing import Any

import torch
from torch.optim import Optimizer

Step = Callable[[Optimizer], Any]

SGD_STEP: Step = unwrap(torch.optim.SGD.step)
ADAMW_STEP: Step = unwrap(torch.optim.AdamW.step)


class Plain(Optimizer):
    """The methods that all optimizers share, unwrapped."""

    add_param_group = unwrap(Optimizer.add_param_group)
    zero_grad = unwrap(Optimizer.zero_grad)
    state_dict = unwrap(Optimizer.state_dict)
    load_state_dict = unwrap(Optimizer.load_state_dict)


class SGD(Plain, torch.optim.SGD):
    """`torch.optim.SGD`."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take a step along the gradients."""
        SGD_STEP(self)


class AdamW(Plain, torch.optim.AdamW):
    """`torch.optim.AdamW`."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take a step along the gradients."""
        ADAMW_STEP(self)
