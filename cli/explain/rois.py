"""The RoIs that a training step of the detector samples (Fast R-CNN, 2.3)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cli.explain.scene import Truth
from cli.explain.settings import Settings
from models.assignment import best_match
from models.fast_rcnn import sample_rois
from models.proposals import Proposals
from models.share import Share


@dataclass(frozen=True, slots=True)
class RoIs:
    """Sampled RoIs, foreground first: boxes (S, 4) in input pixels, labels (S,), best IoU (S,)."""

    boxes: Tensor
    labels: Tensor
    iou: Tensor

    @property
    def foreground(self) -> int:
        """Number of foreground RoIs, which come first."""
        return int((self.labels > 0).sum())


def sampled_rois(proposals: Proposals, truth: Truth, settings: Settings) -> RoIs:
    """This image's share of a mini-batch: R / N RoIs of it, as the first of N images."""
    sample = sample_rois(
        proposals.boxes,
        proposals.valid,
        truth.boxes,
        truth.labels,
        settings.roi_targets,
        torch.Generator().manual_seed(settings.seed),
        Share(0, settings.images_per_batch),
    )
    boxes, labels = (value[sample.sampled] for value in (sample.boxes, sample.labels))
    iou, _ = best_match(boxes[None], truth.boxes)
    order = (labels > 0).int().argsort(descending=True, stable=True)
    return RoIs(boxes[order], labels[order], iou[0, order])
