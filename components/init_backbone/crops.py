"""Pretraining on crops: the backbone classifies the objects of the training split.

For small data without a pretrained classifier this takes the place that ImageNet has in the
papers. Crops come from training images only; background crops are one more class.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from components.dataset.images import read_image
from components.dataset.index import Index
from components.init_backbone import CropParameters
from components.networks.device import default_device
from components.networks.optimizers import AdamW
from components.progress import progress
from components.tracking import Run
from models.assignment import best_match
from models.backbones import Backbone
from models.faster_rcnn import IMAGENET_MEAN, IMAGENET_STD

MARGIN = (1.0, 1.6)
"""Side of the crop over side of the box: a random one each, so that scale varies."""
BACKGROUND_CROPS_PER_IMAGE = 2


def training_crops(
    data: Path, index: Index, parameters: CropParameters, seed: int
) -> tuple[Tensor, Tensor]:
    """Crops (N, 3, size, size) uint8 of objects and background, and labels (N,), 0 background."""
    random = np.random.Generator(np.random.PCG64(seed))
    crops, labels = [], []
    rows = index.rows("train").tolist()
    for row in progress(rows, len(rows), "crops"):
        image = index.image(row)
        kept = ~image.crowd
        objects = torch.from_numpy(image.boxes[kept].copy())
        boxes = torch.cat([objects, _background(objects, image.height, image.width, random)])
        if not len(boxes):
            continue
        pixels = read_image(data / image.file).float()[None]
        pooled = roi_align(pixels, [_widen(boxes, random)], parameters.size, sampling_ratio=2)
        crops.append(pooled.round().to(torch.uint8))
        background = torch.zeros(len(boxes) - len(objects), dtype=torch.int64)
        labels.append(torch.cat([torch.tensor(image.labels[kept], dtype=torch.int64), background]))
    return torch.cat(crops), torch.cat(labels)


def _widen(boxes: Tensor, random: np.random.Generator) -> Tensor:
    """Boxes (N, 4) grown about a centre that moves a little."""
    center, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    factor = torch.from_numpy(random.uniform(*MARGIN, (len(boxes), 1))).float()
    shift = torch.from_numpy(random.uniform(-0.15, 0.15, (len(boxes), 2))).float()
    center, half = center + shift * size, size * factor / 2
    return torch.cat([center - half, center + half], dim=1)


def _background(objects: Tensor, height: int, width: int, random: np.random.Generator) -> Tensor:
    """Random boxes (M, 4) that hardly touch an object."""
    corner = random.uniform(0, 0.7, (4 * BACKGROUND_CROPS_PER_IMAGE, 2))
    side = random.uniform(0.15, 0.3, (len(corner), 1))
    boxes = np.concatenate([corner, corner + side], axis=1) * [width, height, width, height]
    candidates = torch.from_numpy(boxes).float()
    if len(objects):
        overlap, _ = best_match(candidates[None], objects[None])
        candidates = candidates[overlap[0] < 0.1]
    return candidates[:BACKGROUND_CROPS_PER_IMAGE]


def pretrain_on_crops(
    backbone: Backbone,
    crops: Tensor,
    labels: Tensor,
    parameters: CropParameters,
    seed: int,
    run: Run,
) -> dict[str, float]:
    """Train the backbone in place as a classifier of crops; its last loss and accuracy."""
    device = default_device()
    torch.manual_seed(seed)
    classes = int(labels.max()) + 1
    classifier = nn.Linear(backbone.head_channels, classes).to(device)
    net = nn.Sequential(backbone.shared, backbone.head, classifier).to(device).train()
    mean, std = (
        torch.tensor(v, device=device)[:, None, None] * 255 for v in (IMAGENET_MEAN, IMAGENET_STD)
    )
    batches = max(1, len(crops) // parameters.batch_size)
    total = parameters.epochs * batches
    optimizer = AdamW(net.parameters(), lr=parameters.lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, parameters.lr, total_steps=total)
    bar = progress(range(parameters.epochs), parameters.epochs, "pretrain on crops")
    result = {"loss": 0.0, "accuracy": 0.0}
    for epoch in bar:
        seen = []
        for chosen in torch.randperm(len(crops)).tensor_split(batches):
            images = crops[chosen].to(device)
            if torch.rand(()) < 0.5:
                images = _jitter(images)
            logits = net((images - mean) / std)
            truth = labels[chosen].to(device)
            loss = F.cross_entropy(logits, truth, label_smoothing=0.1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            seen.append(torch.stack([loss.detach(), (logits.argmax(1) == truth).float().mean()]))
        loss_mean, accuracy = torch.stack(seen).mean(0).tolist()
        result = {"loss": loss_mean, "accuracy": accuracy}
        bar.set_postfix_str(f"loss {loss_mean:.3f} accuracy {accuracy:.3f}")
        run.metrics(result, step=epoch + 1)
    return result


def _jitter(images: Tensor) -> Tensor:
    """Crops shifted by up to an eighth of their side; what leaves an edge enters opposite."""
    limit = images.shape[-1] // 8
    x, y = (int(torch.randint(-limit, limit + 1, ())) for _ in range(2))
    return images.roll((y, x), dims=(2, 3))
