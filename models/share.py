"""A mini-batch that several processes share: what each has to know of the whole one."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


def _unchanged(value: Tensor) -> Tensor:
    return value


@dataclass(frozen=True, slots=True)
class Share:
    """Share ``number`` of ``of`` equal shares of a mini-batch's images; by default all of it.

    ``total`` sums a tensor over all shares. The means of the losses and gradients over the shares
    are those of one process with the whole mini-batch.
    """

    number: int = 0
    of: int = 1
    total: Callable[[Tensor], Tensor] = _unchanged

    def noise(self, candidates: Tensor, generator: torch.Generator | None) -> Tensor:
        """Uniform numbers (B, N) for the images of this share: its rows of one draw for all."""
        batch, count = candidates.shape
        size = (self.of * batch, count)
        noise = torch.rand(size, generator=generator, device=candidates.device)
        return noise[self.number * batch :][:batch]

    def mean_count(self, sampled: Tensor) -> Tensor:
        """How many slots of the whole mini-batch are in use (at least 1), for each share."""
        return self.total(sampled.sum()).clamp(min=1) / self.of


WHOLE = Share()
"""The share of a process that works alone."""
