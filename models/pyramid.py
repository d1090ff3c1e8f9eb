"""Test on an image pyramid: the same images at several scales (Fast R-CNN, 2.4).

The RPN proposes on every scale, and NMS runs over the boxes of all of them. The detector reads each
RoI from the one scale at which it is nearest to 224 x 224 pixels. Boxes are in pixels of the
pyramid's first scale. Brute force is a pyramid of one scale, with the same bits as without any.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from models.boxes import box_area
from models.fast_rcnn import Detections, FastRCNN
from models.faster_rcnn import FasterRCNN
from models.parameters import DetectionParameters, ProposalParameters
from models.proposals import Proposals, select_proposals
from models.rpn import RPN


class Pyramid(NamedTuple):
    """Of each of L scales the shared feature maps (B, D, h, w) and the images' sizes (B, 2)."""

    maps: tuple[Tensor, ...]
    sizes: tuple[Tensor, ...]


def image_pyramid(
    network: FasterRCNN, images: Sequence[Tensor], sizes: Sequence[Tensor]
) -> Pyramid:
    """The feature maps of images (B, 3, H, W), of sizes (B, 2) within the batch, at each scale."""
    return Pyramid(tuple(map(network.features, images)), tuple(sizes))


def propose(rpn: RPN, pyramid: Pyramid, parameters: ProposalParameters) -> Proposals:
    """Proposals (B, K, 4) of all scales, K = min(post_nms, candidates).

    The paper runs its RPN on one scale and says nothing of a pyramid. Here the limits before NMS
    (``pre_nms``, ``min_size`` in pixels of the scale) count for each scale, those of NMS and after
    it for all scales together.
    """
    each = [
        rpn.candidates(maps, sizes, parameters)
        for maps, sizes in zip(pyramid.maps, pyramid.sizes, strict=True)
    ]
    first = pyramid.sizes[0]
    boxes = [
        rescale(found.boxes, sizes, first) for found, sizes in zip(each, pyramid.sizes, strict=True)
    ]
    scores, valid = ([getattr(found, name) for found in each] for name in ("scores", "valid"))
    return select_proposals(
        Proposals(torch.cat(boxes, dim=1), torch.cat(scores, dim=1), torch.cat(valid, dim=1)),
        parameters,
    )


def detect(
    detector: FastRCNN,
    pyramid: Pyramid,
    proposals: Proposals,
    roi_side: float,
    parameters: DetectionParameters,
) -> Detections:
    """Detections from proposals, each read from the scale that `roi_levels` gives."""
    pooled = pool_from_levels(detector, pyramid, proposals.boxes, roi_side)
    logits, deltas = detector.predict(pooled, proposals.boxes)
    return detector.select(logits, deltas, proposals, pyramid.sizes[0], parameters)


def pool_from_levels(detector: FastRCNN, pyramid: Pyramid, rois: Tensor, roi_side: float) -> Tensor:
    """Features (B * R, D, size, size) of RoIs (B, R, 4), in pixels of the first scale.

    Each is pooled on every scale and taken from its own: shapes do not depend on the RoIs, and
    beside the convs pooling costs little.
    """
    pooled = detector.pool(pyramid.maps[0], rois)
    level = roi_levels(rois, pyramid.sizes, roi_side).flatten()[:, None, None, None]
    for number in range(1, len(pyramid.maps)):
        there = rescale(rois, pyramid.sizes[0], pyramid.sizes[number])
        pooled = torch.where(level == number, detector.pool(pyramid.maps[number], there), pooled)
    return pooled


def roi_levels(rois: Tensor, sizes: Sequence[Tensor], roi_side: float) -> Tensor:
    """The number (B, R) of the scale at which each RoI's area is nearest to ``roi_side`` squared.

    Of two that are equally near it is the first (Fast R-CNN, 2.4, after SPPnet).

    Args:
        rois: (B, R, 4) in pixels of the first scale.
        sizes: of each scale, height and width (B, 2) of the images.
        roi_side: in pixels.
    """
    areas = torch.stack([box_area(rescale(rois, sizes[0], there)) for there in sizes])
    return (areas - roi_side**2).abs().argmin(0)


def rescale(boxes: Tensor, sizes: Tensor, there: Tensor) -> Tensor:
    """Boxes (B, N, 4) in images of sizes (B, 2), in the same images of sizes ``there`` (B, 2)."""
    if there is sizes:
        return boxes
    height, width = (there / sizes).to(boxes).unbind(-1)
    return boxes * torch.stack([width, height, width, height], dim=-1)[:, None]
