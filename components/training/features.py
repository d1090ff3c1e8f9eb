"""Frozen features: computed once per image and mirror image, then read back.

Steps 3 and 4 train on shared convs that no longer change, so running them again for each epoch
would give the same values. They are kept in full precision, so the losses are those of a run
without the cache; the file lies in the stage's scratch folder and may be deleted at any time.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from components.dataset.images import read_image, resize_image, resized_size
from components.dataset.index import Index
from components.dataset.workers import data_loader
from components.networks.device import default_device
from components.progress import progress
from models.faster_rcnn import FasterRCNN


class FeatureCache:
    """Feature maps (D, h, w) by index row and mirror, in one memory-mapped file."""

    def __init__(self, folder: Path) -> None:
        """Open a finished cache."""
        self._shapes = json.loads((folder / "shapes.json").read_text())["shapes"]
        self._file = folder / "features.bin"
        self._values: np.memmap | None = None

    def read(self, row: int, flip: bool) -> Tensor:
        """The features (D, h, w) of an image."""
        if self._values is None:
            self._values = np.memmap(self._file, dtype=np.float32, mode="c")
        offset, *shape = self._shapes[_name(row, flip)]
        values = self._values[offset : offset + int(np.prod(shape))]
        return torch.from_numpy(values.reshape(shape))


def _name(row: int, flip: bool) -> str:
    """The key of an image's or mirror image's features."""
    return f"{row}{'m' if flip else ''}"


class _Images(Dataset[tuple[str, Tensor]]):
    """Images by row, each also mirrored if asked for."""

    def __init__(
        self, data: Path, index: Index, network: FasterRCNN, rows: list[int], flip: bool
    ) -> None:
        self.data, self.index, self.rule = data, index, network.architecture.input
        self.picks = [
            (row, mirror) for row in rows for mirror in ((False, True) if flip else (False,))
        ]

    def __len__(self) -> int:
        return len(self.picks)

    def __getitem__(self, number: int) -> tuple[str, Tensor]:
        row, mirror = self.picks[number]
        pixels = resize_image(read_image(self.data / self.index.image(row).file), self.rule)
        return _name(row, mirror), pixels.flip(2) if mirror else pixels


def features_size(network: FasterRCNN, index: Index, split: str, flip: bool) -> int:
    """Bytes that the frozen features of a split take on disk."""
    rule, cells = network.architecture.input, 0
    for row in index.rows(split):
        image = index.image(row)
        height, width = resized_size(image.height, image.width, rule)
        cells += math.ceil(height / network.stride) * math.ceil(width / network.stride)
    return cells * network.channels * np.dtype(np.float32).itemsize * (2 if flip else 1)


def cached_features(
    folder: Path, key: str, network: FasterRCNN, data: Path, index: Index, split: str, flip: bool
) -> FeatureCache:
    """The features of a split, computed unless the folder holds them under the same key.

    Args:
        folder: where to keep them.
        key: digest of all that decides them: convs, data, resize rule.
        network: with the frozen convs, in eval mode.
        data: the data set's folder.
        index: its index.
        split: whose images.
        flip: whether mirror images are wanted too.
    """
    shapes_file = folder / "shapes.json"
    if shapes_file.exists() and json.loads(shapes_file.read_text())["key"] == key:
        return FeatureCache(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shapes_file.unlink(missing_ok=True)
    images = _Images(data, index, network, index.rows(split).tolist(), flip)
    shapes, offset = {}, 0
    with (folder / "features.bin").open("wb") as file:
        for name, features in _compute(network, images):
            shapes[name] = [offset, *features.shape]
            offset += features.size
            features.tofile(file)
    shapes_file.write_text(json.dumps({"key": key, "shapes": shapes}))
    return FeatureCache(folder)


def _compute(network: FasterRCNN, images: _Images) -> Iterator[tuple[str, np.ndarray]]:
    device = default_device()
    loader = data_loader(images, batch_size=None, num_workers=1)
    with torch.inference_mode():
        for name, pixels in progress(loader, len(images), "shared features, once"):
            yield name, network.features(pixels[None].to(device))[0].float().cpu().numpy()
