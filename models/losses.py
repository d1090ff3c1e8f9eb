"""The multi-task losses (Fast R-CNN, eq. 1-3; Faster R-CNN, eq. 1)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.share import WHOLE, Share


def smooth_l1(error: Tensor, beta: float) -> Tensor:
    """Smooth L1 of each element: 0.5 e^2 / beta where |e| < beta, else |e| - 0.5 beta.

    With beta = 1 / sigma^2 (Fast R-CNN, eq. 3, has beta 1).
    """
    size = error.abs()
    return torch.where(size < beta, 0.5 * size.square() / beta, size - 0.5 * beta)


def rpn_losses(
    logits: Tensor,
    deltas: Tensor,
    positive: Tensor,
    sampled: Tensor,
    targets: Tensor,
    beta: float,
    share: Share = WHOLE,
) -> dict[str, Tensor]:
    """The RPN's losses on a sample of anchors (Faster R-CNN, eq. 1).

    Both terms are divided by the number of sampled anchors, as py-faster-rcnn does: that is the
    paper's N_cls, and nearly its N_reg / lambda (2400 / 10).

    Args:
        logits: (B, S) objectness.
        deltas: (B, S, 4) predicted.
        positive: (B, S) bool.
        sampled: (B, S) bool, slots in use.
        targets: (B, S, 4) box deltas of the matched ground truth, used where positive.
        beta: of the smooth L1.
        share: of the mini-batch, that these images are.
    """
    count = share.mean_count(sampled)
    objectness = F.binary_cross_entropy_with_logits(
        logits, positive.to(logits), weight=sampled.to(logits), reduction="sum"
    )
    box = (smooth_l1(deltas - targets, beta).sum(-1) * positive).sum()
    return {"rpn_class": objectness / count, "rpn_box": box / count}


def detector_losses(
    logits: Tensor,
    deltas: Tensor,
    labels: Tensor,
    sampled: Tensor,
    targets: Tensor,
    beta: float,
    share: Share = WHOLE,
) -> dict[str, Tensor]:
    """The detector's losses on a sample of RoIs (Fast R-CNN, eq. 1).

    Args:
        logits: (B, S, C + 1), background first.
        deltas: (B, S, C, 4), one normalised box regression a class.
        labels: (B, S) int64, u; 0 is background.
        sampled: (B, S) bool, slots in use.
        targets: (B, S, 4) normalised box deltas v, used where u >= 1.
        beta: of the smooth L1.
        share: of the mini-batch, that these images are.
    """
    count = share.mean_count(sampled)
    log_loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    foreground = (labels >= 1) & sampled
    index = (labels - 1).clamp(min=0)[..., None, None].expand(*labels.shape, 1, 4)
    of_class = deltas.gather(2, index).squeeze(2)
    box = (smooth_l1(of_class - targets, beta).sum(-1) * foreground).sum()
    return {
        "detector_class": (log_loss * sampled.flatten()).sum() / count,
        "detector_box": box / count,
    }
