"""On a GPU no training step waits for it: PyTorch would raise at each such wait."""

from collections.abc import Iterator

import pytest
import torch

from components.networks.device import on_device
from components.training.batches import Batch
from components.training.loop import step_generator
from components.training.parameters import SolverParameters
from components.training.solver import build_optimizer, in_precision
from components.training.steps import detector_losses, rpn_losses
from models.faster_rcnn import Architecture, FasterRCNN
from models.parameters import (
    AnchorParameters,
    InputParameters,
    RoIHeadParameters,
    RoITargetParameters,
    RPNTargetParameters,
)

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs `make gpu`")
ARCHITECTURE = Architecture(
    backbone="resnet18",
    norm="frozen",
    classes=("a", "b"),
    input=InputParameters(),
    anchors=AnchorParameters(scales=(2.0, 4.0)),
    roi=RoIHeadParameters(operator="align"),
)


@pytest.fixture
def no_sync() -> Iterator[None]:
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("part", ["rpn", "detector"])
def test_a_step_does_not_wait(part, frozen, precision, no_sync):
    network, device = on_device(FasterRCNN(ARCHITECTURE)), torch.device("cuda")
    network.shared.requires_grad_(not frozen)
    solver = SolverParameters(precision=precision)
    losses = {
        "rpn": rpn_losses(network, RPNTargetParameters()),
        "detector": detector_losses(network, RoITargetParameters()),
    }[part]
    trained = [getattr(network, part)] if frozen else [network.shared, getattr(network, part)]
    optimizer = build_optimizer(trained, solver)
    images = torch.zeros(2, 3, 96, 128, dtype=torch.uint8, device=device)
    corners = torch.tensor([[8.0, 8, 60, 60], [40, 20, 90, 80]]).expand(2, 2, 4)
    batch = Batch(
        files=("a", "b"),
        images=images,
        sizes=torch.tensor([[96, 128], [96, 128]]),
        boxes=corners,
        labels=torch.ones(2, 2, dtype=torch.int64),
        proposals=corners + 2,
        valid=torch.ones(2, 2, dtype=torch.bool),
        alone=tuple(network.features(images).detach()) if frozen else (),
    ).to(device)
    for step in range(3):
        if step:
            torch.cuda.set_sync_debug_mode("error")
        with in_precision(solver):
            terms = losses(batch, step_generator(1, step, device))
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
