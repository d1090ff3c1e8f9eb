"""Faster R-CNN: RPN and Fast R-CNN on shared convolutions (Faster R-CNN, 3)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.backbones import Norm, build_backbone
from models.fast_rcnn import Detections, FastRCNN
from models.parameters import (
    AnchorParameters,
    BackboneName,
    DetectionParameters,
    InputParameters,
    ProposalParameters,
    RoIHeadParameters,
)
from models.proposals import Proposals
from models.rpn import RPN

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """All that decides a network's shape; a part without its parameters is absent."""

    backbone: BackboneName
    norm: Norm
    classes: tuple[str, ...]
    input: InputParameters
    anchors: AnchorParameters | None = None
    roi: RoIHeadParameters | None = None


class FasterRCNN(nn.Module):
    """Shared convs, the RPN (if there are anchors) and the detector (if there is a RoI head)."""

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        roi = architecture.roi or RoIHeadParameters()
        parts = build_backbone(architecture.backbone, architecture.norm, roi.size)
        self.stride, self.channels = parts.stride, parts.channels
        self.fixed = parts.fixed
        self.shared = parts.shared
        for name, value in (("pixel_mean", IMAGENET_MEAN), ("pixel_std", IMAGENET_STD)):
            buffer = torch.tensor(value)[:, None, None] * 255
            self.register_buffer(name, buffer, persistent=False)
        self.rpn: RPN | None = None
        self.detector: FastRCNN | None = None
        if architecture.anchors:
            self.rpn = RPN(parts.channels, parts.rpn_channels, parts.stride, architecture.anchors)
        if architecture.roi:
            self.detector = FastRCNN(
                parts.head, parts.head_channels, len(architecture.classes), parts.stride, roi
            )

    def features(self, images: Tensor) -> Tensor:
        """Shared feature maps (B, D, H / stride, W / stride) of RGB images (B, 3, H, W), 0..255."""
        normalised = (images - self.pixel_mean) / self.pixel_std
        return self.shared(normalised.contiguous(memory_format=torch.channels_last))

    def propose(self, images: Tensor, sizes: Tensor, parameters: ProposalParameters) -> Proposals:
        """Proposals of images (B, 3, H, W) whose sizes within the batch are (B, 2)."""
        return self.require_rpn().propose(self.features(images), sizes, parameters)

    def detect(
        self,
        images: Tensor,
        sizes: Tensor,
        proposals: ProposalParameters,
        detection: DetectionParameters,
    ) -> Detections:
        """Detections in images (B, 3, H, W) whose sizes within the batch are (B, 2)."""
        features = self.features(images)
        given = self.require_rpn().propose(features, sizes, proposals)
        return self.require_detector().detect(features, given, sizes, detection)

    def require_rpn(self) -> RPN:
        """The RPN; raises ValueError if the network has none."""
        if self.rpn is None:
            raise ValueError("this network has no RPN")
        return self.rpn

    def require_detector(self) -> FastRCNN:
        """The detector; raises ValueError if the network has none."""
        if self.detector is None:
            raise ValueError("this network has no detector")
        return self.detector
