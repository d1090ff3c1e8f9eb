"""Frozen features: computed once per image and mirror image at each scale, then read back.

Steps 3 and 4 train on shared convs that no longer change, so running them again for each epoch
would give the same values. They are kept in the type in which the convs give them, so nothing is
rounded, and every image goes through the convs alone, kept or not: the losses do not depend on
what is kept. The file lies in the stage's scratch folder and may be deleted at any time.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from components.dataset.images import read_image, resize_image
from components.dataset.index import Index
from components.dataset.workers import data_loader
from components.disk import room_for
from components.errors import InputError
from components.networks.device import default_device
from components.progress import progress
from components.training.feature_plan import FeaturePlan
from components.training.pick import Pick, pick_of
from models.faster_rcnn import FasterRCNN
from models.parameters import InputParameters

LEFT_FREE = 2 * 10**9
"""Bytes of the disk that are left to checkpoints (VGG16: 1.1 GB with its optimizer's state)."""
SYNCED_EVERY = 100
"""Images after which what was computed is safe from a crash."""


class FeatureCache:
    """The first ``kept`` feature maps of a plan, read from the cache's file."""

    def __init__(self, file: Path, plan: FeaturePlan, kept: int) -> None:
        """Open a finished cache; from here on the file may be deleted."""
        self._path, self._plan, self._kept = file, plan, kept
        self._file = file.open("rb", buffering=0) if kept else None
        codes = plan.codes[:kept]
        self._numbers = np.full(codes.max(initial=-1) + 1, -1)
        self._numbers[codes] = np.arange(kept)

    def __reduce__(self) -> tuple[type["FeatureCache"], tuple[Path, FeaturePlan, int]]:
        """Worker processes that are not forked open the file themselves."""
        return FeatureCache, (self._path, self._plan, self._kept)

    def read(self, pick: Pick) -> Tensor | None:
        """The features (D, h, w) of an image, channels last, or None if they are not kept.

        Raises:
            InputError: the file has become shorter.
        """
        code = pick.code(self._plan.levels)
        number = self._numbers[code] if code < len(self._numbers) else -1
        if number < 0 or self._file is None:
            return None
        plan = self._plan
        values = torch.empty(plan.shape(number), dtype=plan.dtype)
        place = values.view(torch.uint8).numpy()
        if os.preadv(self._file.fileno(), [place.data], int(plan.offsets[number])) < place.nbytes:
            raise InputError(f"{self._path}: was cut short while in use; run the stage again")
        return values.permute(2, 0, 1)


@dataclass(frozen=True, slots=True)
class FeatureFolder:
    """Where the features of one training lie: ``features.bin``, and in ``state.json`` how many.

    key: digest of all that decides the features and their order; what an interrupted run left
    under another key is removed, what it left under this one is taken over.
    """

    path: Path
    key: str

    @property
    def file(self) -> Path:
        """The feature maps, (h, w, D) each, one after the other in the plan's order."""
        return self.path / "features.bin"

    @property
    def _state(self) -> Path:
        return self.path / "state.json"

    def open(self) -> int:
        """Make the folder; how many feature maps are in it under this key."""
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            state = json.loads(self._state.read_text())
            if state["key"] == self.key and self.file.stat().st_size >= state["bytes"]:
                return int(state["done"])
        except (FileNotFoundError, ValueError, KeyError):
            pass
        self._state.unlink(missing_ok=True)
        self.file.unlink(missing_ok=True)
        return 0

    def free(self) -> int:
        """Bytes that the features may take of the disk, with those that they take already."""
        own = self.file.stat().st_size if self.file.exists() else 0
        return max(0, shutil.disk_usage(self.path).free + own - LEFT_FREE)

    def note(self, done: int, size: int) -> None:
        """Note that the first ``done`` feature maps, ``size`` bytes, are on the disk."""
        aside = self._state.with_suffix(".partial")
        aside.write_text(json.dumps({"key": self.key, "done": done, "bytes": size}))
        aside.replace(self._state)


class _Images(Dataset[Tensor]):
    """The input pixels of images and mirror images, given by a plan's codes."""

    def __init__(self, data: Path, index: Index, rule: InputParameters, codes: np.ndarray) -> None:
        self.data, self.index, self.levels, self.codes = data, index, rule.levels, codes

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, number: int) -> Tensor:
        pick = pick_of(int(self.codes[number]), len(self.levels))
        file = self.data / self.index.image(pick.row).file
        pixels = resize_image(read_image(file), self.levels[pick.level])
        return pixels.flip(2) if pick.flip else pixels


def cached_features(
    folder: FeatureFolder,
    plan: FeaturePlan,
    kept: int,
    network: FasterRCNN,
    data: Path,
    index: Index,
    workers: int,
) -> FeatureCache:
    """The first ``kept`` features of a plan, computed unless the folder holds them.

    Args:
        folder: where to keep them.
        plan: which, and in which order.
        kept: how many.
        network: with the frozen convs, on the default device and in eval mode.
        data: the data set's folder.
        index: its index.
        workers: processes that decode images (`components.dataset.workers`).

    Raises:
        InputError: the disk is full.
    """
    done = min(folder.open(), kept)
    images = _Images(data, index, network.architecture.input, plan.codes[done:kept])
    mode = "r+b" if done else "wb"
    with room_for(folder.file, int(plan.offsets[kept])), folder.file.open(mode) as file:
        file.truncate(int(plan.offsets[done]))
        file.seek(0, os.SEEK_END)
        folder.note(done, int(plan.offsets[done]))
        for number, values in enumerate(_compute(network, images, workers), start=done + 1):
            _check_shape(values, plan, number - 1, data, index)
            file.write(values.view(torch.uint8).numpy().data)
            if number % SYNCED_EVERY == 0 or number == kept:
                file.flush()
                os.fsync(file.fileno())
                folder.note(number, int(plan.offsets[number]))
    return FeatureCache(folder.file, plan, kept)


def _check_shape(values: Tensor, plan: FeaturePlan, number: int, data: Path, index: Index) -> None:
    """Refuse features (h, w, D) that would not lie where the plan looks for them."""
    planned = plan.shape(number)
    if tuple(values.shape) != planned:
        file = data / index.image(pick_of(int(plan.codes[number]), plan.levels).row).file
        raise InputError(
            f"{file}: gives features of {tuple(values.shape)}, by its size in the index {planned}; "
            "the picture has changed since validate_data: run that again"
        )


def _compute(network: FasterRCNN, images: _Images, workers: int) -> Iterator[Tensor]:
    """The features (h, w, D) of the images."""
    if not len(images):
        return
    device = default_device()
    loader = data_loader(images, workers, batch_size=None)
    for pixels in progress(loader, len(images), "shared features, once"):
        yield frozen_features(network, pixels.to(device)).permute(1, 2, 0).contiguous().cpu()


def frozen_features(network: FasterRCNN, pixels: Tensor) -> Tensor:
    """The features (D, h, w) of one image (3, H, W).

    It goes through the convs alone, here and in every iteration: in a batch of another size or
    padding the same image gets other values.
    """
    with torch.no_grad():
        return network.features(pixels[None])[0]


def feature_type(network: FasterRCNN) -> torch.dtype:
    """The type in which the convs give features: float32, or bfloat16 under autocast."""
    return frozen_features(network, torch.zeros(3, 64, 64, device=default_device())).dtype


def stacked_features(network: FasterRCNN, images: tuple[Tensor, ...]) -> Tensor:
    """Features (B, D, h, w), channels last, of images: kept features or pixels to be computed.

    Each image is padded with zeros after its convs, so that its features do not depend on those
    which share its batch.

    Args:
        network: with the frozen convs.
        images: of each image its features (D, h, w), or its pixels (3, H, W) uint8.
    """
    each = [frozen_features(network, i) if i.dtype == torch.uint8 else i for i in images]
    height, width = (max(features.shape[side] for features in each) for side in (1, 2))
    shape = (len(each), network.channels, height, width)
    stacked = torch.zeros(shape, dtype=each[0].dtype, device=each[0].device)
    stacked = stacked.to(memory_format=torch.channels_last)
    for place, features in zip(stacked, each, strict=True):
        place[:, : features.shape[1], : features.shape[2]] = features
    return stacked
