"""Run init_backbone."""

from pathlib import Path

import torch

from components.contract import parameters
from components.dataset.index import Index, read_index
from components.init_backbone import InitBackbone
from components.init_backbone.crops import pretrain_on_crops, training_crops
from components.init_backbone.weights import file_weights, load_weights, torchvision_weights
from components.metrics import write_metrics
from components.networks.checkpoint import save_checkpoint
from components.tracking import Run
from models.backbones import Backbone, Norm, build_backbone
from models.faster_rcnn import Architecture


def run(stage: InitBackbone, run: Run) -> None:
    """Write the initial convs and per-RoI head."""
    index = read_index(stage.index)
    torch.manual_seed(stage.seed)
    trained_norms = stage.weights in ("none", "crops")
    backbone = build_backbone(stage.name, "batch" if trained_norms else "frozen")
    metrics = initialise(backbone, stage, index, run)
    norm: Norm = "batch" if stage.weights == "none" else "frozen"
    tensors = {f"shared.{k}": v for k, v in backbone.shared.state_dict().items()}
    tensors |= {f"detector.head.{k}": v for k, v in backbone.head.state_dict().items()}
    architecture = Architecture(
        backbone=stage.name, norm=norm, classes=index.classes, input=stage.input
    )
    save_checkpoint(
        stage.backbone, tensors, architecture, parameters(stage), {"data": index.digest}
    )
    counts = {
        f"{part}_parameters": sum(p.numel() for p in getattr(backbone, part).parameters())
        for part in ("shared", "head")
    }
    write_metrics(stage.metrics, metrics | counts)


def initialise(backbone: Backbone, stage: InitBackbone, index: Index, run: Run) -> dict[str, float]:
    """Fill the backbone as ``stage.weights`` says; the metrics of doing so."""
    if stage.weights == "none":
        return {}
    if stage.weights == "crops":
        crops, labels = training_crops(stage.data, index, stage.crops, stage.seed)
        return pretrain_on_crops(backbone, crops, labels, stage.crops, stage.seed, run)
    if stage.weights == "torchvision":
        load_weights(backbone, torchvision_weights(stage.name))
    else:
        load_weights(backbone, file_weights(Path(stage.weights), stage.sha256))
    return {}
