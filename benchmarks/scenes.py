"""Composed scenes: the same images, boxes and proposals for both sides, on every machine."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.io import write_jpeg

from components.dataset.index import Index, write_index
from components.training.batches import Batch, Example, collate

CLASSES = ("round", "tall", "wide")
OBJECTS = 12
"""Objects an image: as many as a photo of BCCD shows."""
PROPOSALS_EACH = 1000
"""Proposals an image for step 2: presets/bccd.yaml's post_nms."""


def scene(height: int, width: int, seed: int) -> Example:
    """One image (3, H, W) uint8, smooth noise with flat rectangles, their boxes and proposals.

    Half of the proposals are boxes moved by up to a fifth of their sides, half lie anywhere.
    """
    source = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 16, width // 16, generator=source) * 160
    image = F.interpolate(coarse, size=(height, width), mode="bilinear")[0]
    labels = torch.randint(1, len(CLASSES) + 1, (OBJECTS,), generator=source)
    boxes = _boxes(OBJECTS, height, width, source, labels)
    colours = torch.tensor([[250.0, 60, 60], [60, 250, 60], [60, 60, 250]])
    for (x1, y1, x2, y2), label in zip(boxes.int().tolist(), labels.tolist(), strict=True):
        image[:, y1:y2, x1:x2] = colours[label - 1][:, None, None]
    near = boxes.repeat(PROPOSALS_EACH // 2 // OBJECTS, 1)
    moved = near + (torch.rand(near.shape, generator=source) - 0.5) * 0.4 * (
        near[:, 2:] - near[:, :2]
    ).repeat(1, 2)
    proposals = torch.cat([moved, _boxes(PROPOSALS_EACH - len(moved), height, width, source)])
    limit = torch.tensor([width, height, width, height], dtype=torch.float32)
    return Example(
        file=f"{seed:06d}.jpg",
        images=image.to(torch.uint8),
        size=torch.tensor([height, width]),
        boxes=boxes,
        labels=labels,
        proposals=torch.minimum(proposals.clamp(min=0), limit),
    )


def _boxes(
    count: int, height: int, width: int, source: torch.Generator, labels: Tensor | None = None
) -> Tensor:
    """Boxes (count, 4) inside the image: sides from a tenth to a fourth of its height."""
    size = (0.1 + 0.15 * torch.rand(count, 2, generator=source)) * height
    if labels is not None:
        size[:, 1] *= torch.where(labels == 2, 1.5, 1.0)
        size[:, 0] *= torch.where(labels == 3, 1.5, 1.0)
    corner = torch.rand(count, 2, generator=source) * (torch.tensor([width, height]) - size)
    return torch.cat([corner, corner + size], dim=1).round()


def batch_of(count: int, size: tuple[int, int], first: int = 0) -> Batch:
    """A batch of ``count`` scenes in memory, those number ``first`` and on."""
    return collate([scene(*size, seed) for seed in range(first, first + count)], frozen=False)


def write_scenes(folder: Path, count: int, size: tuple[int, int]) -> Index:
    """Scenes as JPEG files below the folder, all in the training split, and their index."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        example = scene(*size, number)
        write_jpeg(example.images, str(folder / example.file), quality=90)
        rows.append(
            {
                "image_id": number + 1,
                "file": example.file,
                "split": "train",
                "height": size[0],
                "width": size[1],
                "sha256": "",
                "boxes": example.boxes.tolist(),
                "labels": example.labels.tolist(),
                "crowd": [False] * len(example.labels),
            }
        )
    return write_index(folder / "index.arrow", rows, list(CLASSES), "coco")
