"""Where a training step stands between arithmetic and memory (docs/performance.md).

The limits are what this machine reaches in a large matrix product and a large copy, measured
between the steps. Operations are those of convs, linear layers and products, forward and
backward. Bytes are counted as if each operation read all its inputs from memory and wrote all its
outputs to it: what stays in the processor's caches makes the true number smaller.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.budget import Budget
from benchmarks.contenders import DETECTION, in_memory, our_step, their_step
from benchmarks.ours import PROPOSALS, build_network, trained_parts, usual_solver
from benchmarks.scenes import CLASSES, batch_of
from benchmarks.table import Row
from benchmarks.timing import Seconds, interleaved, stopwatch, summary
from benchmarks.twin import as_torchvision, to_device, torchvision_twin
from components.networks.device import on_device
from components.training.loop import step_generator
from components.training.solver import in_precision
from models.faster_rcnn import FasterRCNN
from models.parameters import BackboneName

SIDE = 2048
"""Of the matrices of the product."""
COPIED = 1 << 26
"""Float32 numbers that are copied: 256 MB, more than any cache holds."""


class ByteCounter(TorchDispatchMode):
    """Counts the bytes of all operations' inputs and outputs; views cost none."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation and count it."""
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            values = tree_leaves((args, kwargs, result))
            self.total += sum(v.nbytes for v in values if isinstance(v, Tensor))
        return result


@dataclass(frozen=True, slots=True)
class Work:
    """Operations and bytes of one step."""

    flops: float
    bytes: float


def run(budget: Budget) -> list[Row]:
    """The limits, and of each step the share of its limit that it reaches."""
    seconds = budget.share(len(budget.networks))
    return [row for name in budget.networks for row in measure(name, budget, seconds)]


def measure(name: BackboneName, budget: Budget, seconds: float) -> list[Row]:
    """The rows of one network."""
    network = build_network(name, budget.size, CLASSES)
    batches = in_memory(budget)
    times = interleaved(
        machine(budget)
        | {
            "joint": their_step(network, batches, budget),
            "step 1": our_step(copy.deepcopy(network), "rpn", batches),
            "step 2": our_step(copy.deepcopy(network), "detector", batches),
        },
        seconds,
    )
    medians = {kind: summary(values).median for kind, values in times.items()}
    flops = 2 * side(budget) ** 3 / medians["product"]
    speed = 2 * 4 * copied(budget) / medians["copy"]
    rows = [
        Row(name=f"roofline, {name}, product", goal=None, ours=flops / 1e9, unit="GFLOP/s"),
        Row(name=f"roofline, {name}, copy", goal=None, ours=speed / 1e9, unit="GB/s"),
    ]
    for step, work in steps_work(network, budget).items():
        arithmetic, memory = work.flops / flops, work.bytes / speed
        note = (
            f"{work.flops / 1e9:.1f} GFLOP take {1000 * arithmetic:.0f} ms at the product's rate, "
            f"{work.bytes / 1e9:.2f} GB {1000 * memory:.0f} ms at the copy's; a step takes "
            f"{1000 * medians[step]:.0f} ms. Share of the larger limit"
        )
        share = 100 * max(arithmetic, memory) / medians[step]
        rows.append(
            Row(name=f"roofline, {name}, {step}", goal=None, ours=share, unit="%", note=note)
        )
    return rows


def side(budget: Budget) -> int:
    """Side of the matrices."""
    return 128 if budget.quick else SIDE * (4 if budget.device == "cuda" else 1)


def copied(budget: Budget) -> int:
    """Numbers to copy."""
    return 1 << 16 if budget.quick else COPIED


def machine(budget: Budget) -> dict[str, Seconds]:
    """The product and the copy, in the precision of the steps."""
    kind = torch.bfloat16 if budget.device == "cuda" else torch.float32
    a = torch.randn(side(budget), side(budget), device=budget.device, dtype=kind)
    source = torch.randn(copied(budget), device=budget.device)
    target = torch.empty_like(source)
    product = torch.empty_like(a)
    return {
        "product": stopwatch(lambda: torch.mm(a, a, out=product), budget.device),
        "copy": stopwatch(lambda: target.copy_(source), budget.device),
    }


def steps_work(network: FasterRCNN, budget: Budget) -> dict[str, Work]:
    """Operations and bytes of forward and backward: steps 1 and 2 and the joint step."""
    found = {}
    for step, part in (("step 1", "rpn"), ("step 2", "detector")):
        found[step] = counted(our_loss(copy.deepcopy(network), part, budget), budget)
    twin = torchvision_twin(network, PROPOSALS, DETECTION).to(budget.device).train()
    images, targets = as_torchvision(batch_of(2, budget.size))
    inputs = to_device(images, targets, budget.device)
    found["joint"] = counted(lambda: torch.stack(list(twin(*inputs).values())).sum(), budget)
    return found


def our_loss(network: FasterRCNN, part: Any, budget: Budget) -> Callable[[], Tensor]:
    """The loss of step 1 or 2 as a function of nothing."""
    device = torch.device(budget.device)
    trained, losses = trained_parts(on_device(network), part)
    batch = batch_of(2, budget.size).to(device)
    for module in trained:
        module.train()
    return lambda: torch.stack(list(losses(batch, step_generator(1, 0, device)).values())).sum()


def counted(loss: Callable[[], Tensor], budget: Budget) -> Work:
    """What forward and backward of a loss do."""
    right = {torch.ops.aten.convolution_backward: conv_backward_flops}
    with FlopCounterMode(display=False, custom_mapping=right) as flops, ByteCounter() as moved:
        with in_precision(usual_solver()):
            value = loss()
        value.backward()
    return Work(flops.get_total_flops(), moved.total)


def conv_backward_flops(
    grad_shape: Sequence[int],
    x_shape: Sequence[int],
    weight_shape: Sequence[int],
    _bias: object,
    _stride: object,
    _padding: object,
    _dilation: object,
    transposed: bool,
    _output_padding: object,
    _groups: int,
    output_mask: Sequence[bool],
    **_: object,
) -> int:
    """Operations of a conv's gradients by its input and its weight: as many each as its own.

    torch's formula takes the gradient by the weight of a conv in groups, such as MobileNetV2's
    depthwise ones, for a dense conv's.
    """
    cells = x_shape if transposed else grad_shape
    once = 2 * cells[0] * math.prod(cells[2:]) * math.prod(weight_shape)
    return once * sum(output_mask[:2])
