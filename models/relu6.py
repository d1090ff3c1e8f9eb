"""ReLU6 in place, whose gradient reads the output."""

from typing import Any

import torch
from torch import Tensor, nn


class ReLU6(nn.Module):
    """min(max(x, 0), 6), written over x.

    torchvision's in-place ReLU6 keeps a copy of x for its gradient. The output tells as well where
    that is zero, and a new feature map is what a training step on a CPU spends much of its time on.
    """

    def forward(self, x: Tensor) -> Tensor:
        """The input, clamped."""
        if x.requires_grad and torch.is_grad_enabled():
            return _ReLU6.apply(x)
        return torch.clamp_(x, 0, 6)


def replace_relu6(module: nn.Module) -> None:
    """Put this in the place of each of torch's ReLU6."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.ReLU6):
                setattr(parent, name, ReLU6())


class _ReLU6(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        ctx.save_for_backward(x.clamp_(0, 6))
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (output,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(grad, output, 0, 6)
