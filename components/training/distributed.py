"""Several processes that train one network together: the group, and what they exchange.

Each process takes its share of every mini-batch's images; gradients and losses are means over the
processes, and so those of one process with the whole mini-batch. A process of its own, without
torchrun, is in no group, and nothing here does anything.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as group
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from components.errors import InputError
from components.processes import check_shares, this_process
from models.share import Share

T = TypeVar("T")
Step = Callable[..., dict[str, Tensor]]


@contextmanager
def together() -> Iterator[None]:
    """Be in one group with the other processes: NCCL with a GPU for each, gloo on CPUs.

    Raises:
        InputError: this machine has fewer GPUs than processes.
    """
    process = this_process()
    if process.count == 1:
        yield
        return
    gpus = torch.cuda.device_count()
    if gpus:
        if process.local >= gpus:
            raise InputError(
                f"process {process.local + 1} of this machine finds {gpus} GPUs; give torchrun "
                f"--nproc-per-node {gpus}, or FOURSTEP_PROCESSES={gpus}"
            )
        torch.cuda.set_device(process.local)
    group.init_process_group("nccl" if gpus else "gloo")
    yield
    group.destroy_process_group()


def this_share() -> Share:
    """This process's share of every mini-batch."""
    process = this_process()
    return Share(process.number, process.count, _sum) if process.count > 1 else Share()


def own_images(images_per_batch: int) -> slice:
    """Which of a mini-batch's images are this process's.

    Raises:
        InputError: they cannot be shared equally.
    """
    process = this_process()
    check_shares(images_per_batch, process.count)
    size = images_per_batch // process.count
    return slice(process.number * size, (process.number + 1) * size)


def synchronised(trained: list[nn.Module], losses: Step) -> Step:
    """The losses, whose backward pass leaves the mean gradient over all processes in each.

    Batch norm then takes its statistics over the whole mini-batch on GPUs. PyTorch has no such
    layer for CPUs: there, each process takes them over its own share.
    """
    if this_process().count == 1:
        return losses
    parts = nn.ModuleList(trained)
    if torch.cuda.is_available():
        nn.SyncBatchNorm.convert_sync_batchnorm(parts)
    return DistributedDataParallel(
        _Losses(parts, losses), broadcast_buffers=False, gradient_as_bucket_view=True
    )


class _Losses(nn.Module):
    """Losses as the forward pass of the parts that learn, which is what DDP wraps."""

    def __init__(self, trained: nn.ModuleList, losses: Step) -> None:
        super().__init__()
        self.trained = trained
        self._losses = losses

    def forward(self, *arguments: object) -> dict[str, Tensor]:
        return self._losses(*arguments)


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a tensor over all processes."""
    count = this_process().count
    return _sum(value) / count if count > 1 else value


def any_process(asked: bool) -> bool:
    """Whether one of the processes says so: they stop after the same iteration, or none does."""
    if this_process().count == 1:
        return asked
    device = torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")
    return bool(_sum(torch.tensor(float(asked), device=device)).item())


def from_the_first(read: Callable[[], T]) -> T:
    """What the first process reads, handed to all: only its machine needs to have the file."""
    process = this_process()
    if process.count == 1:
        return read()
    held: list[T | None] = [read() if process.first else None]
    group.broadcast_object_list(held)
    return held[0]  # type: ignore[return-value]


def _sum(value: Tensor) -> Tensor:
    total = value.clone()
    group.all_reduce(total)
    return total
