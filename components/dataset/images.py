"""Decoding and resizing of images."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.io import ImageReadMode, decode_image

from components.dataset.resize_rule import resized_size as resized_size
from components.errors import InputError
from models.parameters import InputParameters


def read_image(path: Path) -> Tensor:
    """An image file as RGB: (3, H, W) uint8.

    Raises:
        InputError: the file is absent or does not decode.
    """
    try:
        return decode_image(str(path), mode=ImageReadMode.RGB)
    except RuntimeError as error:
        raise InputError(f"{path}: cannot be read as an image ({error})") from None


def resize_image(image: Tensor, rule: InputParameters) -> Tensor:
    """An image (3, H, W) uint8 resized by the rule: bilinear, antialiased, uint8."""
    size = resized_size(image.shape[1], image.shape[2], rule)
    if size == tuple(image.shape[1:]):
        return image
    return F.interpolate(
        image[None], size=size, mode="bilinear", antialias=True, align_corners=False
    )[0]


def pad_to(values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A tensor with zeros appended at the end of each dimension, up to ``shape``."""
    padded = values.new_zeros(shape)
    padded[tuple(slice(n) for n in values.shape)] = values
    return padded


def stack_padded(values: list[Tensor], least: tuple[int, ...] = ()) -> Tensor:
    """Tensors of one rank stacked to (B, ...), each padded with zeros to the largest.

    ``least`` is a shape that counts with theirs.
    """
    shapes = {tuple(v.shape) for v in values} | ({least} if least else set())
    if len(shapes) == 1:
        return torch.stack(values)
    largest = tuple(max(sizes) for sizes in zip(*shapes, strict=True))
    return torch.stack([pad_to(v, largest) for v in values])
