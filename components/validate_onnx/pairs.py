"""Equality on pairs of (batch, size) with real images."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from components.dataset.images import read_image, resized_size
from components.dataset.index import Image, Index
from components.onnx_model.detector import OnnxDetections
from components.validate_onnx.agreement import Agreement, Found, Tolerance, combine, compare
from components.validate_onnx.networks import Detect
from models.parameters import DetectionParameters, InputParameters

PAIRS = ((1, 1.0), (2, 1.0), (4, 0.75), (1, 1.25), (3, 0.5))
"""Batch, and size relative to the resize rule; sizes off the rule are made odd."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Images of one size: their files, and pixels (B, 3, H, W) uint8."""

    files: tuple[str, ...]
    pixels: np.ndarray

    def __str__(self) -> str:
        """Batch and size, as ``2 x 480 x 640``."""
        batch, _, height, width = self.pixels.shape
        return f"{batch} x {height} x {width}"


def batches(data: Path, index: Index, split: str, rule: InputParameters) -> Iterator[Batch]:
    """One batch for each of `PAIRS`, of one image of the split after the other."""
    rows = cycle(index.rows(split))
    for count, scale in PAIRS:
        images = [index.image(row) for row in islice(rows, count)]
        yield load_batch(data, images, scaled_size(images[0], rule, scale))


def scaled_size(image: Image, rule: InputParameters, scale: float) -> tuple[int, int]:
    """Height and width of an image after the resize rule, times ``scale``."""
    height, width = resized_size(image.height, image.width, rule)
    if scale == 1:
        return height, width
    return round(height * scale) | 1, round(width * scale) | 1


def load_batch(data: Path, images: list[Image], size: tuple[int, int]) -> Batch:
    """Images brought to one size, whatever theirs is."""
    pixels = [
        F.interpolate(read_image(data / i.file)[None], size=size, mode="bilinear", antialias=True)
        for i in images
    ]
    return Batch(tuple(i.file for i in images), torch.cat(pixels).numpy())


def compare_batch(
    batch: Batch,
    trained: Detect,
    exported: Detect,
    limits: DetectionParameters,
    tolerance: Tolerance,
) -> Agreement:
    """The agreement of both on one batch."""
    expected, actual = by_image(trained(batch.pixels)), by_image(exported(batch.pixels))
    return combine(
        compare(a, b, limits, tolerance, f"batch {batch}, image {file}")
        for a, b, file in zip(expected, actual, batch.files, strict=True)
    )


def by_image(found: OnnxDetections) -> list[Found]:
    """The detections of each image, without the empty slots."""
    return [
        Found(boxes[:count], scores[:count], labels[:count])
        for boxes, scores, labels, count in zip(*found, strict=True)
    ]
