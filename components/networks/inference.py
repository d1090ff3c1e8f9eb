"""Running networks over a split: proposals and detections in original pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from components.dataset.images import read_image, resize_image, resized_size, stack_padded
from components.dataset.index import Image, Index
from components.dataset.proposal_file import ImageProposals, ProposalFile
from components.dataset.workers import data_loader
from components.networks.device import default_device, on_device
from components.progress import progress
from models.fast_rcnn import Detections
from models.faster_rcnn import FasterRCNN
from models.parameters import DetectionParameters, InputParameters, ProposalParameters
from models.proposals import Proposals
from models.pyramid import Pyramid, image_pyramid, propose


@dataclass(frozen=True, slots=True)
class ImageDetections:
    """Detections of one image, best first.

    boxes (N, 4) float32 in original pixels, scores (N,) float32, labels (N,) int64 in 1..C.
    """

    image_id: int
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


class Images(Dataset[list[Tensor]]):
    """Images of index rows, resized to each scale of the rule, as (3, h, w) uint8."""

    def __init__(self, data: Path, index: Index, rule: InputParameters) -> None:
        self.data, self.index, self.levels = data, index, rule.levels

    def __getitem__(self, row: int) -> list[Tensor]:
        """The image of an index row at each scale."""
        image = read_image(self.data / self.index.image(row).file)
        return [resize_image(image, level) for level in self.levels]


@dataclass(frozen=True, slots=True)
class SplitBatch:
    """Images of a split that are resized to one size, at each scale of a rule.

    rows: their index rows; of each scale pixels (B, 3, H, W) uint8 and sizes (B, 2), on the default
    device. Boxes are found in pixels of the first scale.
    """

    rows: Sequence[int]
    images: Sequence[Image]
    pixels: Sequence[Tensor]
    sizes: Sequence[Tensor]

    def pyramid(self, network: FasterRCNN) -> Pyramid:
        """The shared feature maps of a network."""
        return image_pyramid(network, self.pixels, self.sizes)

    def proposals(self, found: Proposals) -> Iterator[ImageProposals]:
        """A network's proposals, image by image."""
        boxes, scores, valid = (value.cpu().numpy() for value in found)
        for n, image in enumerate(self.images):
            own = valid[n]
            yield ImageProposals(
                image.image_id, boxes[n, own] * self.original_scale(image), scores[n, own]
            )

    def given(self, file: ProposalFile, most: int) -> Proposals:
        """The best `most` proposals of each image in a file, in pixels of the first scale."""
        own = [file.image(image.image_id) for image in self.images]
        scales = map(self.original_scale, self.images)
        boxes = [one.boxes[:most] / scale for one, scale in zip(own, scales, strict=True)]
        found = Proposals(
            stack_padded([torch.from_numpy(each) for each in boxes], (1, 4)),
            stack_padded([torch.tensor(one.scores[:most]) for one in own], (1,)),
            stack_padded([torch.ones(len(each), dtype=torch.bool) for each in boxes], (1,)),
        )
        return Proposals(*(value.to(self.pixels[0].device) for value in found))

    def detections(self, found: Detections) -> Iterator[ImageDetections]:
        """A network's detections, image by image."""
        boxes, scores, labels, count = (value.cpu().numpy() for value in found)
        for n, image in enumerate(self.images):
            own = slice(int(count[n]))
            yield ImageDetections(
                image.image_id,
                boxes[n, own] * self.original_scale(image),
                scores[n, own].copy(),  # a view would keep the whole batch's slots
                labels[n, own].copy(),
            )

    def original_scale(self, image: Image) -> np.ndarray:
        """Factors (4,) float32 that bring boxes in input pixels to the original image."""
        height, width = self.pixels[0].shape[2:]
        x, y = image.width / width, image.height / height
        return np.array([x, y, x, y], dtype=np.float32)


def split_batches(
    rule: InputParameters,
    data: Path,
    index: Index,
    split: str,
    batch_size: int,
    description: str,
) -> Iterator[SplitBatch]:
    """The images of a split, those of one size after the other.

    Args:
        rule: of resizing, to one scale or to several.
        data: the data set's folder.
        index: its index.
        split: ``train`` or ``test``.
        batch_size: images at a time.
        description: of the progress bar.
    """
    by_size: dict[tuple[tuple[int, int], ...], list[int]] = {}
    rows = index.rows(split)
    for row, (height, width) in zip(rows.tolist(), index.sizes(rows).tolist(), strict=True):
        size = tuple(resized_size(height, width, level) for level in rule.levels)
        by_size.setdefault(size, []).append(row)
    batches = [
        rows[start : start + batch_size]
        for rows in by_size.values()
        for start in range(0, len(rows), batch_size)
    ]
    loader = data_loader(Images(data, index, rule), batch_sampler=batches)
    for own, loaded in zip(batches, progress(loader, len(batches), description), strict=True):
        pixels = [level.to(default_device()) for level in loaded]
        sizes = [torch.tensor(p.shape[2:], device=p.device).expand(len(own), 2) for p in pixels]
        yield SplitBatch(own, [index.image(row) for row in own], pixels, sizes)


def detect_split(
    detector: FasterRCNN,
    rule: InputParameters,
    data: Path,
    index: Index,
    split: str,
    *,
    proposals: ProposalParameters,
    detection: DetectionParameters,
    batch_size: int = 1,
    description: str = "detect",
) -> list[ImageDetections]:
    """Detections of a split at one scale, in the index's order.

    Args:
        detector: the network, with both parts.
        rule: of resizing, to one scale.
        data: the data set's folder.
        index: its index.
        split: ``train`` or ``test``.
        proposals: limits of the proposals.
        detection: limits of the detections.
        batch_size: images of one size at a time.
        description: of the progress bar.
    """
    network = on_device(detector)
    found: dict[int, ImageDetections] = {}
    with torch.inference_mode():
        for batch in split_batches(rule, data, index, split, batch_size, description):
            result = network.detect(batch.pixels[0], batch.sizes[0], proposals, detection)
            found |= zip(batch.rows, batch.detections(result), strict=True)
    return [found[row] for row in sorted(found)]


def propose_split(
    network: FasterRCNN,
    data: Path,
    index: Index,
    split: str,
    *,
    proposals: ProposalParameters,
    batch_size: int = 1,
    description: str = "propose",
) -> Iterator[ImageProposals]:
    """Proposals of a split, as they are made: images of one size after the other.

    They come from all scales that the network was trained on.
    """
    network, rule = on_device(network), network.architecture.input
    for batch in split_batches(rule, data, index, split, batch_size, description):
        with torch.inference_mode():
            found = propose(network.require_rpn(), batch.pyramid(network), proposals)
        yield from batch.proposals(found)
