"""Training batches: endless, shuffled, flipped, one shape of image at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
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
from components.training.features import FeatureCache
from models.boxes import flip_boxes
from models.parameters import InputParameters


class Pick(NamedTuple):
    """What goes into a batch: an index row, mirrored or not."""

    row: int
    flip: bool


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

    images (B, 3, H, W) uint8, or features (B, D, h, w) if ``frozen``; sizes (B, 2) height and
    width within the padding; boxes (B, K, 4) and labels (B, K), padded with zeros, K >= 1;
    proposals (B, P, 4) and valid (B, P); files: the images' names.
    """

    files: tuple[str, ...]
    images: Tensor
    sizes: Tensor
    boxes: Tensor
    labels: Tensor
    proposals: Tensor
    valid: Tensor
    frozen: bool

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device."""
        names = ("images", "sizes", "boxes", "labels", "proposals", "valid")
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in names}
        return replace(self, **moved)


class TrainingSet(Dataset[Example]):
    """Examples by index row: resized and mirrored images with their boxes and proposals."""

    def __init__(
        self,
        data: Path,
        index: Index,
        rule: InputParameters,
        proposals: ProposalFile | None = None,
        features: FeatureCache | None = None,
    ) -> None:
        self.data, self.index, self.rule = data, index, rule
        self.proposals, self.features = proposals, features

    def __getitem__(self, pick: Pick) -> Example:
        """The example of a pick; boxes that are crowds teach nothing and are left out."""
        image = self.index.image(pick.row)
        height, width = resized_size(image.height, image.width, self.rule)
        kept = ~image.crowd
        given = self.proposals.image(image.image_id).boxes if self.proposals else np.zeros((0, 4))
        return Example(
            file=image.file,
            images=self._pixels(image, pick),
            size=torch.tensor([height, width]),
            boxes=_to_input(image.boxes[kept], image, height, width, pick.flip),
            labels=torch.tensor(image.labels[kept], dtype=torch.int64),
            proposals=_to_input(given, image, height, width, pick.flip),
        )

    def _pixels(self, image: Image, pick: Pick) -> Tensor:
        if self.features is not None:
            return self.features.read(pick.row, pick.flip)
        pixels = resize_image(read_image(self.data / image.file), self.rule)
        return pixels.flip(2) if pick.flip else pixels


def _to_input(boxes: np.ndarray, image: Image, height: int, width: int, flip: bool) -> Tensor:
    """Boxes (N, 4) of the original image in pixels of the resized (and mirrored) one."""
    x, y = width / image.width, height / image.height
    scaled = torch.from_numpy(boxes * np.array([x, y, x, y])).float()
    return flip_boxes(scaled, width) if flip else scaled


def collate(examples: list[Example], frozen: bool) -> Batch:
    """Examples padded to one batch."""
    most_boxes = max(1, *(len(e.boxes) for e in examples))
    most_proposals = max(len(e.proposals) for e in examples)
    return Batch(
        files=tuple(e.file for e in examples),
        images=stack_padded([e.images for e in examples]),
        sizes=torch.stack([e.size for e in examples]),
        boxes=torch.stack([pad_to(e.boxes, (most_boxes, 4)) for e in examples]),
        labels=torch.stack([pad_to(e.labels, (most_boxes,)) for e in examples]),
        proposals=torch.stack([pad_to(e.proposals, (most_proposals, 4)) for e in examples]),
        valid=torch.stack([torch.arange(most_proposals) < len(e.proposals) for e in examples]),
        frozen=frozen,
    )


def shuffled_picks(
    landscape: np.ndarray, rows: np.ndarray, batch_size: int, flip: bool, seed: int
) -> Iterator[list[Pick]]:
    """Batches of picks without end: each epoch a new order, each image mirrored half the time.

    Landscape and portrait images are not mixed, to save padding; what an epoch leaves over
    opens the next one's batches. The order is a function of the seed alone.

    Args:
        landscape: (N,) bool.
        rows: (N,) index rows.
        batch_size: N of the paper.
        flip: whether to mirror.
        seed: of the order.
    """
    waiting: dict[bool, list[Pick]] = {True: [], False: []}
    epoch = 0
    while True:
        random = np.random.Generator(np.random.PCG64([seed, epoch]))
        order = random.permutation(len(rows))
        mirrored = random.random(len(rows)) < (0.5 if flip else 0.0)
        for n in order.tolist():
            group = waiting[bool(landscape[n])]
            group.append(Pick(int(rows[n]), bool(mirrored[n])))
            if len(group) == batch_size:
                yield group.copy()
                group.clear()
        epoch += 1


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
    """The batches number ``first`` to ``last`` (exclusive) of a training; see `shuffled_picks`."""
    rows = dataset.index.rows(split)
    images = [dataset.index.image(row) for row in rows]
    landscape = np.array([image.width >= image.height for image in images])
    picks = shuffled_picks(landscape, rows, batch_size, flip, seed)
    chosen = [next(picks) for _ in range(last)][first:]
    frozen = dataset.features is not None
    return iter(
        data_loader(
            dataset,
            batch_sampler=chosen,
            num_workers=workers,
            collate_fn=_Collate(frozen),
            pin_memory=torch.cuda.is_available(),
        )
    )


@dataclass(frozen=True, slots=True)
class _Collate:
    """`collate` with its argument, in a form that worker processes can receive."""

    frozen: bool

    def __call__(self, examples: list[Example]) -> Batch:
        return collate(examples, self.frozen)
