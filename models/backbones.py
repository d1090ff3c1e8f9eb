"""Backbones: what the RPN and the detector share, and what reads a pooled RoI.

Parameters carry torchvision's names, so its weights load by name.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torchvision
from torch import Tensor, nn

from models.frozen_norm import FoldedNorm, fold_frozen_norms
from models.parameters import BackboneName
from models.relu6 import replace_relu6

Norm = Literal["frozen", "batch"]


@dataclass(frozen=True, slots=True)
class Backbone:
    """A classifier cut in two at stride ``stride``.

    shared: images to feature maps of ``channels`` channels, used by RPN and detector alike.
    head: pooled RoIs (N, channels, s, s) to vectors (N, head_channels).
    fixed: names below ``shared`` that stay at their pretrained values in every step.
    """

    shared: nn.Module
    head: nn.Module
    stride: int
    channels: int
    head_channels: int
    rpn_channels: int
    fixed: tuple[str, ...]


class MeanOverCells(nn.Module):
    """Average pooling of (N, D, H, W) to (N, D)."""

    def forward(self, features: Tensor) -> Tensor:
        """Mean over the spatial dimensions."""
        return features.mean(dim=(2, 3))


def vgg16(norm: Norm, roi_size: int) -> Backbone:
    """VGG16, the paper's: conv1_1 to conv5_3 shared, fc6 and fc7 per RoI, conv1 and conv2 fixed.

    fc6 and fc7 fit RoIs of 7 x 7 cells only.

    Raises:
        ValueError: another RoI size.
    """
    if roi_size != 7:
        raise ValueError(f"roi.size: {roi_size} does not fit vgg16, whose fc6 takes 7")
    net = torchvision.models.vgg16(init_weights=norm == "batch")
    head = nn.Sequential(OrderedDict(flatten=nn.Flatten(), classifier=net.classifier[:-1]))
    fixed = tuple(f"features.{i}." for i in range(10))
    return Backbone(_named(features=net.features[:-1]), head, 16, 512, 4096, 512, fixed)


def resnet18(norm: Norm, roi_size: int) -> Backbone:
    """ResNet-18 as C4: up to layer3 shared, layer4 per RoI; conv1 and layer1 fixed."""
    return _resnet_c4(torchvision.models.resnet18(norm_layer=_NORMS[norm]), 256, 512, 256)


def resnet50(norm: Norm, roi_size: int) -> Backbone:
    """ResNet-50 as C4 (He et al. 2016, appendix A): layer4 per RoI; conv1 and layer1 fixed."""
    return _resnet_c4(torchvision.models.resnet50(norm_layer=_NORMS[norm]), 1024, 2048, 512)


def _resnet_c4(
    net: torchvision.models.ResNet, channels: int, head_channels: int, rpn_channels: int
) -> Backbone:
    names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")
    shared = nn.Sequential(OrderedDict((n, getattr(net, n)) for n in names))
    head = _named(layer4=net.layer4, mean=MeanOverCells())
    fixed = ("conv1.", "bn1.", "layer1.")
    return Backbone(shared, head, 16, channels, head_channels, rpn_channels, fixed)


def mobilenet_v2(norm: Norm, roi_size: int) -> Backbone:
    """MobileNetV2: features[:14] shared, features[14:] per RoI; fixed up to stride 4."""
    net = torchvision.models.mobilenet_v2(norm_layer=_NORMS[norm])
    replace_relu6(net)
    head = _named(features=net.features[14:], mean=MeanOverCells())
    fixed = tuple(f"features.{i}." for i in range(4))
    return Backbone(_named(features=net.features[:14]), head, 16, 96, 1280, 256, fixed)


def tiny(norm: Norm, roi_size: int) -> Backbone:
    """Six 3 x 3 convs at stride 8 and one conv per RoI: for the embedded data on two cores."""
    plan = ((3, 16, 2), (16, 32, 1), (32, 48, 2), (48, 48, 1), (48, 64, 2), (64, 96, 1))
    convs = (_conv(i, o, stride, norm) for i, o, stride in plan)
    shared = nn.Sequential(OrderedDict((f"conv{n}", c) for n, c in enumerate(convs, start=1)))
    head = _named(conv=_conv(96, 160, 2, norm), mean=MeanOverCells())
    return Backbone(shared, head, 8, 96, 160, 128, ())


def _conv(inputs: int, outputs: int, stride: int, norm: Norm) -> nn.Module:
    conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, _NORMS[norm](outputs), nn.ReLU(inplace=True))


def _named(**modules: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(modules))


_NORMS: dict[str, Callable[..., nn.Module]] = {
    "frozen": FoldedNorm,
    "batch": nn.BatchNorm2d,
}
_BACKBONES: dict[BackboneName, Callable[[Norm, int], Backbone]] = {
    "vgg16": vgg16,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "mobilenet_v2": mobilenet_v2,
    "tiny": tiny,
}


def build_backbone(name: BackboneName, norm: Norm, roi_size: int = 7) -> Backbone:
    """The backbone ``name``, randomly initialised.

    Args:
        name: one of the backbones above.
        norm: ``frozen`` batch norm (fixed statistics and scale, for pretrained weights) or
            ``batch`` (trained, where there are none).
        roi_size: side of a pooled RoI.
    """
    backbone = _BACKBONES[name](norm, roi_size)
    fold_frozen_norms(backbone.shared)
    fold_frozen_norms(backbone.head)
    return backbone
