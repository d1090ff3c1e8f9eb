"""From RPN outputs to proposals (Faster R-CNN, 3.3)."""

from typing import NamedTuple

import torch
from torch import Tensor

from models.boxes import clip_boxes, decode_boxes, take_rows
from models.nms import batched_nms_mask
from models.parameters import ProposalParameters


class Proposals(NamedTuple):
    """Boxes (B, K, 4) in input pixels, scores (B, K) falling, and which slots are in use (B, K)."""

    boxes: Tensor
    scores: Tensor
    valid: Tensor


def candidates(
    logits: Tensor, deltas: Tensor, anchors: Tensor, sizes: Tensor, parameters: ProposalParameters
) -> Proposals:
    """The boxes of the RPN that enter NMS, clipped; those below the size limit are not valid.

    Args:
        logits: (B, N) objectness of each anchor.
        deltas: (B, N, 4).
        anchors: (N, 4).
        sizes: (B, 2) height and width of each image within the padded batch.
        parameters: limits and thresholds.

    Returns:
        min(pre_nms, N) boxes an image, in the anchors' order if all enter; scores in [0, 1].
    """
    scores = logits.sigmoid()
    references = anchors[None].expand(scores.shape[0], -1, -1)
    if parameters.pre_nms:
        scores, best = scores.topk(torch.sym_min(parameters.pre_nms, scores.shape[1]), dim=1)
        deltas, references = take_rows(deltas, best), take_rows(references, best)
    boxes = clip_boxes(decode_boxes(deltas, references), sizes)
    valid = ((boxes[..., 2:] - boxes[..., :2]) >= parameters.min_size).all(-1)
    return Proposals(boxes, scores, valid)


def select_proposals(found: Proposals, parameters: ProposalParameters) -> Proposals:
    """The best of candidates (B, N, 4) after NMS: K = min(post_nms, N) an image."""
    boxes, scores, valid = found
    one_group = torch.zeros_like(scores, dtype=torch.int64)
    limits = parameters.nms_iou, parameters.post_nms
    kept = batched_nms_mask(boxes, scores, one_group, valid, *limits)
    count = torch.sym_min(parameters.post_nms, scores.shape[1])
    scores, best = scores.masked_fill(~kept, -1.0).topk(count, dim=1)
    valid = scores >= 0
    return Proposals(take_rows(boxes, best), scores.clamp(min=0), valid)
