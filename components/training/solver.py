"""The optimizer as the papers set it: biases learn twice as fast and do not decay."""

import torch
from torch import nn

from components.networks.device import default_device
from components.networks.optimizers import SGD, AdamW
from components.training.parameters import SolverParameters

BIAS_LR_FACTOR = 2.0
LR_DROP_FACTOR = 0.1


def build_optimizer(modules: list[nn.Module], solver: SolverParameters) -> torch.optim.Optimizer:
    """SGD or AdamW over the modules' parameters that require gradients."""
    trained = trained_parameters(modules)
    weights = [p for name, p in trained if not name.endswith("bias")]
    biases = [p for name, p in trained if name.endswith("bias")]
    groups = [
        {"params": weights, "lr_factor": 1.0, "weight_decay": solver.weight_decay},
        {"params": biases, "lr_factor": BIAS_LR_FACTOR, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if solver.optimizer == "sgd":
        optimizer = SGD(groups, lr=solver.lr, momentum=solver.momentum, fused=True)
        begin_momentum(optimizer, solver.momentum)
        return optimizer
    return AdamW(groups, lr=solver.lr, fused=True)


def begin_momentum(optimizer: SGD, momentum: float) -> None:
    """Start the momentum of all parameters from zero, which changes no step.

    torch does so at a parameter's first gradient, and its fused SGD then fails if another one's
    came earlier, as in per-batch alternation.
    """
    if momentum:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def trained_parameters(modules: list[nn.Module]) -> list[tuple[str, nn.Parameter]]:
    """The modules' parameters that require gradients, by name: what an optimizer gets."""
    named = [item for module in modules for item in module.named_parameters()]
    return [(name, parameter) for name, parameter in named if parameter.requires_grad]


def in_precision(solver: SolverParameters) -> torch.autocast:
    """The context in which convs and linear layers compute in the solver's precision.

    Within a step each rounded weight is used once, so it is not kept for the next use.
    """
    return torch.autocast(
        default_device().type,
        torch.bfloat16,
        enabled=solver.precision == "bfloat16",
        cache_enabled=False,
    )


def lr_at(solver: SolverParameters, iteration: int) -> float:
    """The learning rate of an iteration (from 0): linear warm-up, then steps down."""
    warmup = min(1.0, (iteration + 1) / max(1, solver.warmup_iterations))
    drops = sum(iteration >= drop for drop in solver.lr_drops)
    return solver.lr * warmup * LR_DROP_FACTOR**drops


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of all groups."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_factor"]
