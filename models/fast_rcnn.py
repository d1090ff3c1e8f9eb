"""The Fast R-CNN detector: RoIs to class scores and boxes (Fast R-CNN, 2)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.assignment import best_match
from models.boxes import clip_boxes, decode_boxes, encode_boxes, take_rows
from models.initialisation import init_normal
from models.losses import detector_losses
from models.nms import batched_nms_mask
from models.parameters import DetectionParameters, RoIHeadParameters, RoITargetParameters
from models.proposals import Proposals
from models.roi_pooling import pool_rois
from models.sampling import sample_balanced
from models.share import WHOLE, Share

MAX_CANDIDATES = 1000
"""Best-scored (RoI, class) pairs of an image that enter the per-class NMS."""


class Detections(NamedTuple):
    """Detections of a batch, best first, in input pixels.

    boxes (B, D, 4), scores (B, D), labels (B, D) in 1..C; slots from ``counts`` (B,) on are zero.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    counts: Tensor


class RoISample(NamedTuple):
    """Sampled RoIs: boxes (B, S, 4), labels (B, S), matched ground truth (B, S, 4), in use."""

    boxes: Tensor
    labels: Tensor
    matched: Tensor
    sampled: Tensor


def sample_rois(
    proposals: Tensor,
    valid: Tensor,
    ground_truth: Tensor,
    labels: Tensor,
    parameters: RoITargetParameters,
    generator: torch.Generator | None = None,
    share: Share = WHOLE,
) -> RoISample:
    """A mini-batch of RoIs: R / N an image, a quarter foreground (Fast R-CNN, 2.3).

    Ground-truth boxes join the proposals, as in the authors' code.

    Args:
        proposals, valid: (B, P, 4) and (B, P).
        ground_truth, labels: (B, K, 4) and (B, K); padding has no area and label 0.
        parameters: R and the thresholds.
        generator: of the random sample.
        share: of the mini-batch, that these images are.
    """
    candidates = torch.cat([ground_truth, proposals], dim=1)
    usable = torch.cat([labels > 0, valid], dim=1)
    iou, match = best_match(candidates, ground_truth)
    foreground = usable & (iou >= parameters.foreground_iou)
    background = usable & ~foreground & (iou >= parameters.background_iou_low)
    index, chosen, sampled = sample_balanced(
        foreground,
        background,
        max(1, parameters.rois_per_batch // (share.of * len(candidates))),
        parameters.foreground_fraction,
        generator,
        share,
    )
    match = match.gather(1, index)
    return RoISample(
        take_rows(candidates, index),
        labels.gather(1, match) * chosen,
        take_rows(ground_truth, match),
        sampled,
    )


class FastRCNN(nn.Module):
    """RoI pooling, the per-RoI head, then sibling layers for class scores and box deltas.

    Class scores start from N(0, 0.01), box deltas from N(0, 0.001), biases from 0 (2.3). Box
    targets are normalised by ``target_mean`` and ``target_std``, buffers beside the layer, so
    that a warm start from any checkpoint is scaled as it was trained.
    """

    target_mean: Tensor
    target_std: Tensor

    def __init__(
        self, head: nn.Module, head_channels: int, classes: int, stride: int, roi: RoIHeadParameters
    ) -> None:
        super().__init__()
        self.roi = roi
        self.stride = stride
        self.head = head
        self.class_scores = nn.Linear(head_channels, classes + 1)
        self.box_deltas = nn.Linear(head_channels, 4 * classes)
        init_normal(self.class_scores, std=0.01)
        init_normal(self.box_deltas, std=0.001)
        self.register_buffer("target_mean", torch.zeros(4))
        self.register_buffer("target_std", torch.tensor([0.1, 0.1, 0.2, 0.2]))

    def forward(self, features: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits (B, R, C + 1), background first, and normalised deltas (B, R, C, 4)."""
        return self.predict(self.pool(features, rois), rois)

    def pool(self, features: Tensor, rois: Tensor) -> Tensor:
        """Features (B * R, D, size, size) of RoIs (B, R, 4) on maps (B, D, H, W)."""
        return pool_rois(features, rois, self.roi.operator, self.roi.size, self.stride)

    def predict(self, pooled: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` gives for the pooled features of RoIs (B, R, 4)."""
        batch, count = rois.shape[:2]
        hidden = self.head(pooled)
        logits = self.class_scores(hidden).float().reshape(batch, count, -1)
        return logits, self.box_deltas(hidden).float().reshape(batch, count, -1, 4)

    def losses(
        self,
        features: Tensor,
        proposals: Tensor,
        valid: Tensor,
        ground_truth: Tensor,
        labels: Tensor,
        parameters: RoITargetParameters,
        generator: torch.Generator,
        share: Share = WHOLE,
    ) -> dict[str, Tensor]:
        """The losses ``detector_class`` and ``detector_box``; arguments as `sample_rois`."""
        rois = sample_rois(proposals, valid, ground_truth, labels, parameters, generator, share)
        logits, deltas = self(features, rois.boxes)
        targets = encode_boxes(rois.matched, rois.boxes)
        targets = (targets - self.target_mean) / self.target_std
        losses = detector_losses(
            logits, deltas, rois.labels, rois.sampled, targets, parameters.smooth_l1_beta, share
        )
        losses["detector_box"] = losses["detector_box"] * parameters.box_loss_weight
        return losses

    def detect(
        self, features: Tensor, proposals: Proposals, sizes: Tensor, parameters: DetectionParameters
    ) -> Detections:
        """Detections from proposals on maps (B, D, H, W), in images of sizes (B, 2)."""
        logits, deltas = self(features, proposals.boxes)
        return self.select(logits, deltas, proposals, sizes, parameters)

    def select(
        self,
        logits: Tensor,
        deltas: Tensor,
        proposals: Proposals,
        sizes: Tensor,
        parameters: DetectionParameters,
    ) -> Detections:
        """Detections from what `predict` gives: per-class NMS over the boxes that score enough."""
        batch, count, classes = deltas.shape[:3]
        scores = logits.softmax(-1)[..., 1:].reshape(batch, -1)
        deltas = deltas * self.target_std + self.target_mean
        if not parameters.box_regression:
            deltas = torch.zeros_like(deltas)
        boxes = decode_boxes(deltas, proposals.boxes[:, :, None]).reshape(batch, -1, 4)
        boxes = clip_boxes(boxes, sizes)
        valid = proposals.valid[:, :, None].expand(-1, -1, classes).reshape(batch, -1)
        scores = scores.masked_fill(~valid, -1.0)
        scores, best = scores.topk(torch.sym_min(MAX_CANDIDATES, count * classes), dim=1)
        boxes, labels = take_rows(boxes, best), best % classes
        valid = scores > parameters.score_threshold
        limits = parameters.nms_iou, parameters.max_detections
        kept = batched_nms_mask(boxes, scores.clamp(min=0), labels, valid, *limits)
        slots = torch.sym_min(parameters.max_detections, scores.shape[1])
        scores, best = scores.masked_fill(~kept, -1.0).topk(slots, dim=1)
        found = scores > 0
        return Detections(
            take_rows(boxes, best) * found[..., None],
            scores.clamp(min=0),
            (labels.gather(1, best) + 1) * found,
            found.sum(1),
        )
