"""The image that is explained, and the boxes that teach in it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import torch
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from cli.predict import open_image
from components.dataset.images import read_image, resize_image
from components.dataset.index import Image, Index
from components.digest import path_digest
from components.errors import InputError
from components.training.batches import Example, collate, to_input
from models.fast_rcnn import Detections
from models.parameters import InputParameters

CONFIDENT = 0.5
"""Detections of at least this score stand in for ground truth that is not known."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Boxes that teach: (1, K, 4) in input pixels and labels (1, K) in 1..C, padded with zeros.

    ``stands_in``: they are the detector's own detections, since ground truth is not known.
    """

    boxes: Tensor
    labels: Tensor
    stands_in: bool

    @property
    def count(self) -> int:
        """Number of boxes without the padding."""
        return int((self.labels > 0).sum())


@dataclass(frozen=True, slots=True)
class Scene:
    """An image as a network sees it, in a batch of one.

    name: of its file; pixels (1, 3, H, W) uint8; sizes (1, 2) height and width; truth: None if it
    is not known.
    """

    name: str
    pixels: Tensor
    sizes: Tensor
    truth: Truth | None


def open_scene(path: Path, index: Index | None, rule: InputParameters) -> Scene:
    """An image file, resized by the network's rule, with its ground truth if the index has it.

    The index's image is the one with the same bytes, wherever the file lies. An image of the
    index is decoded as in training; another is turned upright as its EXIF orientation says.

    Raises:
        InputError: there is no such file, or it is no image.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give an image")
    image = indexed_image(path, index) if index else None
    decoded = read_image(path) if image else pil_to_tensor(open_image(path))
    pixels = resize_image(decoded, rule)
    sizes = torch.tensor([pixels.shape[1:]])
    return Scene(path.name, pixels[None], sizes, true_boxes(image, pixels) if image else None)


def indexed_image(path: Path, index: Index) -> Image | None:
    """The index's row of a file with these bytes, if there is one."""
    rows = np.flatnonzero(pc.equal(index.table["sha256"], path_digest(path)).to_numpy())
    return index.image(rows[0]) if len(rows) else None


def true_boxes(image: Image, pixels: Tensor) -> Truth:
    """The ground truth of an image as a training batch has it: without crowd boxes, padded.

    Args:
        image: its row of the index.
        pixels: (3, H, W), resized.
    """
    height, width = pixels.shape[1:]
    kept = ~image.crowd
    example = Example(
        file=image.file,
        images=pixels,
        size=torch.tensor([height, width]),
        boxes=to_input(image.boxes[kept], image, height, width, flip=False),
        labels=torch.tensor(image.labels[kept], dtype=torch.int64),
        proposals=torch.zeros(0, 4),
    )
    batch = collate([example], frozen=False)
    return Truth(batch.boxes, batch.labels, stands_in=False)


def stand_ins(found: Detections) -> Truth | None:
    """Confident detections of one image in the place of ground truth; None if there are none."""
    count = confident(found)
    if not count:
        return None
    return Truth(found.boxes[:, :count], found.labels[:, :count], stands_in=True)


def confident(found: Detections) -> int:
    """How many detections of one image are confident; they are the first, since scores fall."""
    return int((found.scores[0] >= CONFIDENT).sum())
