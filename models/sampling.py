"""Sampling of positives and negatives into a fixed number of slots."""

import torch
from torch import Tensor

from models.share import WHOLE, Share


def sample_balanced(
    positive: Tensor,
    negative: Tensor,
    count: int,
    positive_fraction: float,
    generator: torch.Generator | None = None,
    share: Share = WHOLE,
) -> tuple[Tensor, Tensor, Tensor]:
    """A random sample of each row: at most a share of positives, negatives fill it up.

    Shapes do not depend on how many there are, so nothing waits for the device.

    Args:
        positive, negative: (B, N) bool, disjoint.
        count: slots of the sample, S = min(count, N).
        positive_fraction: upper limit of positives, as a share of ``count``.
        generator: the source of randomness, on the tensors' device.
        share: of the mini-batch, that these rows are.

    Returns:
        Index (B, S) into N; whether the slot holds a positive (B, S); whether it holds
        anything (B, S): with too few candidates some slots stay empty.
    """
    slots = min(count, positive.shape[1])
    most = min(int(count * positive_fraction), slots)
    noise = share.noise(positive, generator)
    chosen_positive = _random_topk(positive, noise, most)
    # Positives first, then negatives, then the rest: the sample is the head of that order.
    priority = noise + torch.where(chosen_positive, 2.0, 0.0) + torch.where(negative, 1.0, 0.0)
    candidate = chosen_positive | negative
    index = priority.masked_fill(~candidate, -1.0).topk(slots, dim=1).indices
    return index, chosen_positive.gather(1, index), candidate.gather(1, index)


def _random_topk(mask: Tensor, noise: Tensor, count: int) -> Tensor:
    """The mask (B, N) thinned at random to at most ``count`` a row."""
    if count == 0:
        return torch.zeros_like(mask)
    index = noise.masked_fill(~mask, -1.0).topk(count, dim=1).indices
    return torch.zeros_like(mask).scatter(1, index, True) & mask
