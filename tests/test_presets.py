"""Each preset builds its networks and takes a step of all four trainings, on a small image."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from components.training.solver import build_optimizer
from models.faster_rcnn import Architecture, FasterRCNN
from models.parameters import InputParameters
from pipelines.sections import check_params

ROOT = Path(__file__).parents[1]
SIDE = 128


@pytest.mark.parametrize("name", ["bccd", "voc07_vgg16", "voc07_resnet50"])
def test_a_step_of_each_training(name):
    stages = check_params(ROOT / "presets" / f"{name}.yaml")
    init, rpn, detector = (stages[s] for s in ("init_backbone", "train_rpn", "train_detector"))
    torch.manual_seed(0)
    network = FasterRCNN(
        Architecture(
            backbone=init.name,
            norm="frozen",
            classes=("a", "b"),
            input=InputParameters(short_side=SIDE, long_side=SIDE),
            anchors=replace(rpn.anchors, scales=(2.0, 4.0)),
            roi=detector.roi,
        )
    )
    images = torch.randint(0, 256, (1, 3, SIDE, SIDE), dtype=torch.uint8)
    sizes = torch.tensor([[SIDE, SIDE]])
    boxes, labels = torch.tensor([[[20.0, 20, 90, 100]]]), torch.tensor([[2]])
    proposals = boxes + torch.randn(1, 64, 4, generator=torch.Generator().manual_seed(0)) * 8
    usable = torch.ones(1, 64, dtype=torch.bool)

    def rpn_step(features, generator):
        targets = rpn.targets
        return network.require_rpn().losses(features, sizes, boxes, targets, generator)

    def detector_step(features, generator):
        targets = replace(detector.targets, rois_per_batch=8)
        args = (features, proposals, usable, boxes, labels, targets, generator)
        return network.require_detector().losses(*args)

    for use, losses, part in (
        ("train_rpn", rpn_step, network.rpn),
        ("train_detector", detector_step, network.detector),
        ("finetune_rpn", rpn_step, network.rpn),
        ("finetune_detector", detector_step, network.detector),
    ):
        frozen = use.startswith("finetune")
        before = {k: v.clone() for k, v in network.shared.state_dict().items()}
        trained = [part] if frozen else [network.shared, part]
        optimizer = build_optimizer(trained, stages[use].solver)
        with torch.set_grad_enabled(not frozen):
            features = network.features(images)
        terms = losses(features, torch.Generator().manual_seed(1))
        loss = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert loss.isfinite()
        after = network.shared.state_dict()
        same = all(torch.equal(before[k], after[k]) for k in before)
        assert same == frozen, use
