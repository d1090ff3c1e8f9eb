"""Which frozen features are worth keeping, and where each lies in the cache's file.

The picks of a training are a function of its seed, so how often an image or mirror image is read is
known before it starts. What is read once is not kept: computing it in its iteration costs the same.
The rest is kept in the order of its reads, the most read first, then by index row, by scale,
unmirrored before mirrored; if room is short, the first ones are kept.
"""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from components.dataset.images import resized_size
from components.dataset.index import Index
from components.training.pick import Pick
from models.faster_rcnn import FasterRCNN


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    """The N images and mirror images that are read more than once, in the order of keeping.

    codes: (N,) int64, see `Pick.code`.
    reads: (N,) how often each is read in the whole training.
    shapes: (N, 2) heights and widths of the feature maps.
    offsets: (N + 1,) bytes from the file's start.
    channels: D.
    dtype: of the features.
    all_reads: of the whole training, with those of what is read once.
    levels: number of the scales.
    """

    codes: np.ndarray
    reads: np.ndarray
    shapes: np.ndarray
    offsets: np.ndarray
    channels: int
    dtype: torch.dtype
    all_reads: int
    levels: int

    @property
    def size(self) -> int:
        """Bytes of all that is worth keeping."""
        return int(self.offsets[-1])

    def shape(self, number: int) -> tuple[int, int, int]:
        """Height, width and channels of a feature map, as it lies in the file."""
        height, width = self.shapes[number].tolist()
        return height, width, self.channels

    def fitting(self, room: float) -> int:
        """How many of the first images fit in ``room`` bytes."""
        return int(np.searchsorted(self.offsets, room, side="right")) - 1

    def computed_share(self, kept: int) -> float:
        """The share of readings for which the convs run in their iteration."""
        return 1 - int(self.reads[:kept].sum()) / self.all_reads


def plan_features(
    network: FasterRCNN,
    index: Index,
    picks: Iterable[Sequence[Pick]],
    dtype: torch.dtype,
) -> FeaturePlan:
    """Plan which features a training keeps.

    Args:
        network: with the frozen convs.
        index: of the data set.
        picks: all batches of the training.
        dtype: of the features.
    """
    levels = len(network.architecture.input.levels)
    codes = np.fromiter((pick.code(levels) for batch in picks for pick in batch), np.int64)
    reads = np.bincount(codes)
    again = np.flatnonzero(reads > 1)
    order = again[np.argsort(-reads[again], kind="stable")]
    shapes = feature_shapes(network, index, *np.divmod(order // 2, levels))
    sizes = shapes.prod(1) * network.channels * dtype.itemsize
    return FeaturePlan(
        codes=order,
        reads=reads[order],
        shapes=shapes,
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
        channels=network.channels,
        dtype=dtype,
        all_reads=len(codes),
        levels=levels,
    )


def feature_shapes(
    network: FasterRCNN, index: Index, rows: np.ndarray, levels: np.ndarray
) -> np.ndarray:
    """Heights and widths (N, 2) of the feature maps of images (N,) at scales (N,)."""
    originals = index.sizes(rows)
    if not len(rows):
        return originals.astype(np.int64)
    cases = np.column_stack([originals, levels])
    different, which = np.unique(cases, axis=0, return_inverse=True)
    rules = network.architecture.input.levels
    resized = np.array([resized_size(h, w, rules[level]) for h, w, level in different.tolist()])
    sides, where = np.unique(resized, return_inverse=True)
    return _cells(network.shared, sides)[where.reshape(-1, 2)][which]


def _cells(convs: nn.Module, sides: np.ndarray) -> np.ndarray:
    """Lengths of the feature maps of square images with these sides; nothing is computed."""
    shapes_only = copy.deepcopy(convs).to("meta")
    images = (torch.empty(1, 3, side, side, device="meta") for side in sides.tolist())
    with torch.no_grad():
        return np.array([shapes_only(image).shape[-1] for image in images])
