"""Running a network over a split: proposals and detections in original pixels."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from components.dataset.images import read_image, resize_image, resized_size
from components.dataset.index import Image, Index
from components.dataset.proposal_file import ImageProposals
from components.dataset.workers import data_loader
from components.networks.device import default_device, on_device
from components.progress import progress
from models.faster_rcnn import FasterRCNN
from models.parameters import DetectionParameters, InputParameters, ProposalParameters


@dataclass(frozen=True, slots=True)
class ImageDetections:
    """Detections of one image, best first.

    boxes (N, 4) float32 in original pixels, scores (N,) float32, labels (N,) int64 in 1..C.
    """

    image_id: int
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


class Images(Dataset[Tensor]):
    """Resized images of index rows, as (3, h, w) uint8."""

    def __init__(self, data: Path, index: Index, rule: InputParameters) -> None:
        self.data, self.index, self.rule = data, index, rule

    def __getitem__(self, row: int) -> Tensor:
        """The image of an index row."""
        return resize_image(read_image(self.data / self.index.image(row).file), self.rule)


def detect_split(
    detector: FasterRCNN,
    data: Path,
    index: Index,
    split: str,
    *,
    proposals: ProposalParameters,
    detection: DetectionParameters,
    rpn: FasterRCNN | None = None,
    batch_size: int = 1,
    description: str = "detect",
) -> list[ImageDetections]:
    """Detections of a split, in the index's order.

    Args:
        detector: the network that classifies.
        data: the data set's folder.
        index: its index.
        split: ``train`` or ``test``.
        proposals: limits of the proposals.
        detection: limits of the detections.
        rpn: another network whose proposals are used; by default the detector's own, on the
            shared features.
        batch_size: images of one size at a time.
        description: of the progress bar.
    """
    network = on_device(detector)
    proposer = on_device(rpn) if rpn else None
    found: dict[int, ImageDetections] = {}
    with torch.inference_mode():
        for rows, images, sizes in _batches(detector, data, index, split, batch_size, description):
            given = proposer.propose(images, sizes, proposals) if proposer else proposals
            result = network.detect(images, sizes, given, detection)
            boxes, scores, labels, count = (value.cpu().numpy() for value in result)
            for n, row in enumerate(rows):
                image, kept = index.image(row), slice(int(count[n]))
                found[row] = ImageDetections(
                    image.image_id,
                    boxes[n, kept] * original_scale(image, detector.architecture.input),
                    scores[n, kept],
                    labels[n, kept],
                )
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
    """Proposals of a split, as they are made: images of one size after the other."""
    network = on_device(network)
    with torch.inference_mode():
        for rows, images, sizes in _batches(network, data, index, split, batch_size, description):
            result = network.propose(images, sizes, proposals)
            boxes, scores, valid = (value.cpu().numpy() for value in result)
            for n, row in enumerate(rows):
                image = index.image(row)
                scale = original_scale(image, network.architecture.input)
                yield ImageProposals(
                    image.image_id, boxes[n, valid[n]] * scale, scores[n, valid[n]]
                )


def original_scale(image: Image, rule: InputParameters) -> np.ndarray:
    """Factors (4,) float32 that bring boxes in input pixels to the original image."""
    height, width = resized_size(image.height, image.width, rule)
    x, y = image.width / width, image.height / height
    return np.array([x, y, x, y], dtype=np.float32)


def _batches(
    network: FasterRCNN, data: Path, index: Index, split: str, batch_size: int, description: str
) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Index rows, images (B, 3, H, W) and their sizes (B, 2): no batch mixes sizes."""
    rule = network.architecture.input
    by_size: dict[tuple[int, int], list[int]] = {}
    for row in index.rows(split).tolist():
        image = index.image(row)
        by_size.setdefault(resized_size(image.height, image.width, rule), []).append(row)
    batches = [
        rows[start : start + batch_size]
        for rows in by_size.values()
        for start in range(0, len(rows), batch_size)
    ]
    loader = data_loader(Images(data, index, rule), batch_sampler=batches, num_workers=1)
    for rows, images in zip(batches, progress(loader, len(batches), description), strict=True):
        images = images.to(default_device())
        size = torch.tensor(images.shape[2:], device=images.device)
        yield rows, images, size.expand(len(rows), 2)
