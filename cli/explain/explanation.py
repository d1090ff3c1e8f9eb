"""All that is shown of one image, computed once."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cli.explain.anchors import AnchorExample, Anchors, Labels, example, grid, label_anchors
from cli.explain.roi_pooling import PooledRoI, largest, pooled_roi
from cli.explain.rois import RoIs, sampled_rois
from cli.explain.scene import Scene, Truth, stand_ins
from cli.explain.settings import Settings
from cli.explain.steps import Part, step_table
from models.fast_rcnn import Detections
from models.faster_rcnn import Architecture, FasterRCNN
from models.parameters import AnchorParameters
from models.proposals import Proposals

BEST = 12
"""Best proposals that are drawn; the largest of them is shown pooled."""


@dataclass(frozen=True, slots=True)
class Taught:
    """What needs boxes to learn from: labels, one positive anchor (if any) and sampled RoIs."""

    truth: Truth
    labels: Labels
    example: AnchorExample | None
    rois: RoIs


@dataclass(frozen=True, slots=True)
class Explanation:
    """One image on its way through the network.

    first: step 1's proposals, None without its checkpoint; own: those of this network's RPN (in
    four-step training step 3's); taught: None where neither ground truth nor a confident detection
    is there.
    """

    scene: Scene
    architecture: Architecture
    settings: Settings
    anchors: Anchors
    first: Proposals | None
    own: Proposals
    detections: Detections
    pooled: PooledRoI | None
    taught: Taught | None
    steps: list[Part]

    @property
    def four_step(self) -> bool:
        """Whether the network is step 4's, and not one of joint training."""
        return self.settings.schedule == "four_step"

    @property
    def height(self) -> int:
        """Of the input, in pixels."""
        return self.scene.pixels.shape[2]

    @property
    def width(self) -> int:
        """Of the input, in pixels."""
        return self.scene.pixels.shape[3]


@torch.no_grad()
def explain_scene(
    scene: Scene, network: FasterRCNN, first: FasterRCNN | None, settings: Settings
) -> Explanation:
    """Run an image through the network and, for its proposals, step 1's."""
    rpn, detector = network.require_rpn(), network.require_detector()
    features = network.features(scene.pixels)
    own = rpn.propose(features, scene.sizes, settings.proposals)
    found = detector.detect(features, own, scene.sizes, settings.detection)
    parameters = network.architecture.anchors or AnchorParameters()
    anchors = grid(rpn, features, scene.sizes, parameters)
    truth = scene.truth or stand_ins(found)
    taught = teach(network, features, anchors, own, truth, settings) if truth else None
    best = own.boxes[0, own.valid[0]][:BEST]
    return Explanation(
        scene=scene,
        architecture=network.architecture,
        settings=settings,
        anchors=anchors,
        first=first.propose(scene.pixels, scene.sizes, settings.proposals) if first else None,
        own=own,
        detections=found,
        pooled=pooled_roi(detector, features, largest(best)) if len(best) else None,
        taught=taught,
        steps=step_table(network.architecture, settings.schedule),
    )


def teach(
    network: FasterRCNN,
    features: Tensor,
    anchors: Anchors,
    proposals: Proposals,
    truth: Truth,
    settings: Settings,
) -> Taught:
    """What a training step would make of the image's anchors and proposals."""
    logits, deltas, _ = network.require_rpn()(features)
    labels = label_anchors(anchors, truth.boxes, settings.rpn_targets)
    return Taught(
        truth=truth,
        labels=labels,
        example=example(anchors, labels, truth.boxes, logits, deltas),
        rois=sampled_rois(proposals, truth, settings),
    )
