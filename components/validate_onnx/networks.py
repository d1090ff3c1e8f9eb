"""The trained network and the exported one, behind one interface."""

from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from torch import Tensor

from components.networks.device import default_device
from components.onnx_model.detector import OnnxDetections, OnnxDetector
from models.fast_rcnn import Detections
from models.faster_rcnn import FasterRCNN

Detect = Callable[[np.ndarray], OnnxDetections]
"""Images (B, 3, H, W) uint8 to detections, both in numpy."""


def torch_detect(network: FasterRCNN, onnx: OnnxDetector) -> Detect:
    """Detection by the trained network, with the limits that the ONNX model was exported with."""
    network = network.to(default_device()).eval()
    limits = onnx.metadata

    def detect(images: np.ndarray) -> OnnxDetections:
        pixels = torch.from_numpy(images).to(default_device())
        sizes = torch.tensor(images.shape[2:], device=pixels.device).expand(len(images), 2)
        with torch.inference_mode():
            found = network.detect(pixels, sizes, limits.proposals, limits.detection)
        return OnnxDetections(*(value.cpu().numpy() for value in found))

    return detect


class OnnxNetwork:
    """The exported detector in a network's place, for `detect_split`."""

    def __init__(self, onnx: OnnxDetector) -> None:
        self.onnx = onnx

    def to(self, *place: object, **options: object) -> "OnnxNetwork":
        """Itself: ONNX Runtime has its own devices."""
        return self

    def detect(self, images: Tensor, *limits: object) -> Detections:
        """Detections in images (B, 3, H, W); the limits are those in the graph."""
        found = self.onnx.detect(images.cpu().numpy())
        return Detections(*(torch.from_numpy(value) for value in found))


def as_network(onnx: OnnxDetector) -> FasterRCNN:
    """The exported detector where a network is asked for, if it is only asked to detect."""
    return cast(FasterRCNN, OnnxNetwork(onnx))
