"""Training batches: endless, shuffled, flipped, one shape of image at a time."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from components.dataset.images import pad_to, read_image, resize_image, resized_size, stack_padded
from components.dataset.index import Image, Index
from components.dataset.proposal_file import ProposalFile
from components.dataset.workers import data_loader
from components.training.distributed import own_images
from components.training.features import FeatureCache
from components.training.pick import Pick
from models.boxes import flip_boxes
from models.parameters import InputParameters

PREFETCHED = 4
"""Batches that a worker process has ready: images differ in how long they take to decode."""


@dataclass(frozen=True, slots=True)
class Example:
    """One image: pixels (3, H, W) uint8 or frozen features (D, h, w), boxes in input pixels."""

    file: str
    images: Tensor
    size: Tensor
    boxes: Tensor
    labels: Tensor
    proposals: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """B images, padded.

    images (B, 3, H, W) uint8; or, for frozen convs, none, and ``alone`` has each image's features
    (D, h, w), or its pixels (3, H, W) where no features are kept; sizes (B, 2) height and width
    within the padding; boxes (B, K, 4) and labels (B, K), padded with zeros, K >= 1; proposals
    (B, P, 4) and valid (B, P); files: the names of the mini-batch's images, those of other
    processes' shares included.
    """

    files: tuple[str, ...]
    images: Tensor
    sizes: Tensor
    boxes: Tensor
    labels: Tensor
    proposals: Tensor
    valid: Tensor
    alone: tuple[Tensor, ...] = ()

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """The batch in memory that a GPU reads by itself; data loaders call this."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return replace(
            self,
            images=change(self.images),
            sizes=change(self.sizes),
            boxes=change(self.boxes),
            labels=change(self.labels),
            proposals=change(self.proposals),
            valid=change(self.valid),
            alone=tuple(map(change, self.alone)),
        )


class Beside(NamedTuple):
    """What other processes' shares of a mini-batch hold: their images' names, sizes and counts.

    Height and width in input pixels, boxes and proposals an image: the most of any. A share is
    padded to the whole mini-batch's shape, so that it gives what one process would have.
    """

    files: tuple[str, ...] = ()
    height: int = 0
    width: int = 0
    boxes: int = 0
    proposals: int = 0


ALONE = Beside()
"""Beside a process that has the whole mini-batch."""


class TrainingSet(Dataset[Example]):
    """Examples by pick: resized and mirrored images with their boxes and proposals."""

    def __init__(
        self,
        data: Path,
        index: Index,
        rule: InputParameters,
        proposals: ProposalFile | None = None,
        features: FeatureCache | None = None,
    ) -> None:
        self.data, self.index, self.levels = data, index, rule.levels
        self.proposals, self.features = proposals, features

    def __getitem__(self, pick: Pick) -> Example:
        """The example of a pick; boxes that are crowds teach nothing and are left out."""
        image = self.index.image(pick.row)
        height, width = resized_size(image.height, image.width, self.levels[pick.level])
        kept = ~image.crowd
        return Example(
            file=image.file,
            images=self._pixels(image, pick),
            size=torch.tensor([height, width]),
            boxes=to_input(image.boxes[kept], image, height, width, pick.flip),
            labels=torch.tensor(image.labels[kept], dtype=torch.int64),
            proposals=to_input(self._given(image), image, height, width, pick.flip),
        )

    def beside(self, picks: list[Pick]) -> Beside:
        """What these picks of other processes hold; no image is read for it."""
        if not picks:
            return ALONE
        images = [self.index.image(pick.row) for pick in picks]
        sizes = [
            resized_size(image.height, image.width, self.levels[pick.level])
            for image, pick in zip(images, picks, strict=True)
        ]
        return Beside(
            files=tuple(image.file for image in images),
            height=max(height for height, _ in sizes),
            width=max(width for _, width in sizes),
            boxes=max(int((~image.crowd).sum()) for image in images),
            proposals=max(len(self._given(image)) for image in images),
        )

    def _given(self, image: Image) -> np.ndarray:
        """The proposals (P, 4) of an image, in its own pixels."""
        return self.proposals.image(image.image_id).boxes if self.proposals else np.zeros((0, 4))

    def _pixels(self, image: Image, pick: Pick) -> Tensor:
        features = self.features.read(pick) if self.features else None
        if features is not None:
            return features
        pixels = resize_image(read_image(self.data / image.file), self.levels[pick.level])
        return pixels.flip(2) if pick.flip else pixels


def to_input(boxes: np.ndarray, image: Image, height: int, width: int, flip: bool) -> Tensor:
    """Boxes (N, 4) of the original image in pixels of the resized (and mirrored) one."""
    x, y = width / image.width, height / image.height
    scaled = torch.from_numpy(boxes * np.array([x, y, x, y])).float()
    return flip_boxes(scaled, width) if flip else scaled


def collate(examples: list[Example], frozen: bool, beside: Beside = ALONE) -> Batch:
    """Examples padded to one batch."""
    most_boxes = max(1, beside.boxes, *(len(e.boxes) for e in examples))
    most_proposals = max(beside.proposals, *(len(e.proposals) for e in examples))
    images = [e.images for e in examples]
    least = (images[0].shape[0], beside.height, beside.width) if beside.files else ()
    return Batch(
        files=(*(e.file for e in examples), *beside.files),
        images=torch.empty(0) if frozen else stack_padded(images, least),
        sizes=torch.stack([e.size for e in examples]),
        boxes=torch.stack([pad_to(e.boxes, (most_boxes, 4)) for e in examples]),
        labels=torch.stack([pad_to(e.labels, (most_boxes,)) for e in examples]),
        proposals=torch.stack([pad_to(e.proposals, (most_proposals, 4)) for e in examples]),
        valid=torch.stack([torch.arange(most_proposals) < len(e.proposals) for e in examples]),
        alone=tuple(images) if frozen else (),
    )


class OwnBatches(Dataset[Batch]):
    """The batches of a training by number: of each one's picks, this process's own."""

    def __init__(self, dataset: TrainingSet, picks: list[list[Pick]], own: slice) -> None:
        self.dataset, self.picks, self.own = dataset, picks, own

    def __len__(self) -> int:
        return len(self.picks)

    def __getitem__(self, number: int) -> Batch:
        """A batch; its images are the first of ``files``, then come those of other processes."""
        picks = self.picks[number]
        others = picks[: self.own.start] + picks[self.own.stop :]
        examples = [self.dataset[pick] for pick in picks[self.own]]
        return collate(examples, self.dataset.features is not None, self.dataset.beside(others))


def shape_groups(index: Index, rows: np.ndarray) -> np.ndarray:
    """Numbers (N,) of groups of rows whose images are of similar shape.

    They end at width / height of 0.71, 1 and 1.41. At a short side of 600, a batch of a 4 : 3 and
    a 3 : 2 image would else be padded from 800 to 900 pixels.
    """
    height, width = index.sizes(rows).T
    return np.floor(2 * np.log2(width / height)).clip(-2, 1).astype(np.int64)


def shuffled_picks(
    groups: np.ndarray,
    rows: np.ndarray,
    batch_size: int,
    flip: bool,
    seed: int,
    levels: int = 1,
) -> Iterator[list[Pick]]:
    """Batches of picks without end: each epoch a new order, each image mirrored half the time.

    On a pyramid each image is at a scale drawn anew in each epoch, all equally likely (Fast R-CNN,
    2.4). Groups and scales are not mixed, to save padding; what an epoch leaves over opens the next
    one's batches. The order is a function of the seed alone, mirroring and scale of an image of
    seed and epoch.

    Args:
        groups: (N,) the number of each row's group; see `shape_groups`.
        rows: (N,) index rows.
        batch_size: N of the paper.
        flip: whether to mirror.
        seed: of the order.
        levels: number of the scales.
    """
    waiting: dict[tuple[int, int], list[Pick]] = defaultdict(list)
    epoch = 0
    while True:
        random = np.random.Generator(np.random.PCG64([seed, epoch]))
        order = random.permutation(len(rows))
        mirrored = random.random(len(rows)) < (0.5 if flip else 0.0)
        level = random.integers(levels, size=len(rows))  # the last draw: one scale changes none
        for n in order.tolist():
            group = waiting[int(groups[n]), int(level[n])]
            group.append(Pick(int(rows[n]), bool(mirrored[n]), int(level[n])))
            if len(group) == batch_size:
                yield group.copy()
                group.clear()
        epoch += 1


def training_picks(
    index: Index, *, split: str, batch_size: int, last: int, flip: bool, seed: int, levels: int = 1
) -> list[list[Pick]]:
    """The picks of a training's first ``last`` batches; see `shuffled_picks`."""
    rows = index.rows(split)
    picks = shuffled_picks(shape_groups(index, rows), rows, batch_size, flip, seed, levels)
    return list(islice(picks, last))


def training_batches(
    dataset: TrainingSet,
    *,
    split: str,
    batch_size: int,
    first: int,
    last: int,
    flip: bool,
    seed: int,
    workers: int,
) -> Iterator[Batch]:
    """The batches number ``first`` to ``last`` (exclusive) of a training; see `shuffled_picks`.

    Raises:
        InputError: the processes that train together cannot share ``batch_size`` images.
    """
    picks = training_picks(
        dataset.index,
        split=split,
        batch_size=batch_size,
        last=last,
        flip=flip,
        seed=seed,
        levels=len(dataset.levels),
    )
    loader = data_loader(
        OwnBatches(dataset, picks[first:], own_images(batch_size)),
        workers,
        PREFETCHED,
        batch_size=None,
        pin_memory=torch.cuda.is_available(),
    )
    return iter(loader)
