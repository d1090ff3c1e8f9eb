"""Goal 5: the exported detector in ONNX Runtime against torchvision's eager one."""

import copy
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor

from benchmarks.budget import Budget
from benchmarks.contenders import DETECTION
from benchmarks.ours import trained_network
from benchmarks.rows import rate_row
from benchmarks.scenes import batch_of
from benchmarks.table import Row
from benchmarks.timing import Seconds, interleaved, stopwatch
from benchmarks.twin import as_torchvision, to_device, torchvision_twin
from components.export_onnx.graph import export_graph
from components.networks.device import on_device
from components.onnx_model.detector import OnnxDetector
from components.onnx_model.metadata import OnnxMetadata
from models.faster_rcnn import FasterRCNN
from models.parameters import BackboneName, ProposalParameters

BATCHES = (1, 8)
TRAINED = 15
PROPOSALS = ProposalParameters(pre_nms=6000, post_nms=300)
"""As in presets/bccd.yaml."""


def run(budget: Budget) -> list[Row]:
    """Images a second by network and batch size, in ONNX Runtime and eager."""
    seconds = budget.share(len(budget.networks) * len(BATCHES))
    rows = []
    for name in budget.networks:
        network = trained_network(name, budget.size, 1 if budget.quick else TRAINED)
        detector = exported(copy.deepcopy(network).cpu(), budget)
        for batch in BATCHES:
            rows += measure(name, network, detector, batch, budget, seconds)
    return rows


def exported(network: FasterRCNN, budget: Budget) -> OnnxDetector:
    """The network after export_onnx, opened with as many threads as torch has."""
    model = export_graph(network, PROPOSALS, DETECTION)
    architecture = network.architecture
    metadata = OnnxMetadata(
        classes=architecture.classes,
        resize=architecture.input,
        proposals=PROPOSALS,
        detection=DETECTION,
        upstream={},
    )
    onnx.helper.set_model_props(model, metadata.to_strings())
    path = Path(budget.folder) / f"{architecture.backbone}.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return OnnxDetector(path, cuda=budget.device == "cuda", threads=torch.get_num_threads())


def measure(
    name: BackboneName,
    network: FasterRCNN,
    detector: OnnxDetector,
    batch: int,
    budget: Budget,
    seconds: float,
) -> list[Row]:
    """The rows of one network at one batch size."""
    images = batch_of(batch, budget.size).images
    pixels: np.ndarray = images.numpy()
    contenders = {
        "theirs": theirs(network, batch, budget),
        "ours": stopwatch(lambda: detector.detect(pixels)),
        "eager": eager(copy.deepcopy(network), images, budget),
    }
    times = interleaved(contenders, seconds)
    title = f"inference, {name} {budget.size[0]}, batch {batch}"
    note = "same weights, limits and thresholds, float32; as many threads on both sides"
    theirs_times = times["theirs"]
    return [
        rate_row(f"{title}, ours eager", None, times["eager"], theirs_times, batch),
        rate_row(title, 5, times["ours"], theirs_times, batch, target=2.0, note=note),
    ]


def theirs(network: FasterRCNN, batch: int, budget: Budget) -> Seconds:
    """Torchvision's detector in eval mode."""
    twin = torchvision_twin(network, PROPOSALS, DETECTION).to(budget.device).eval()
    twin.rpn.min_size = PROPOSALS.min_size
    images, _ = to_device(*as_torchvision(batch_of(batch, budget.size)), budget.device)

    def detect() -> None:
        with torch.inference_mode():
            twin(images)

    return stopwatch(detect, budget.device)


def eager(network: FasterRCNN, images: Tensor, budget: Budget) -> Seconds:
    """Our detector in PyTorch, as the stage evaluate runs it."""
    on_device(network).eval()
    images = images.to(budget.device)
    sizes = torch.tensor([images.shape[-2:]] * len(images), device=budget.device)

    def detect() -> None:
        with torch.inference_mode():
            network.detect(images, sizes, PROPOSALS, DETECTION)

    return stopwatch(detect, budget.device)
