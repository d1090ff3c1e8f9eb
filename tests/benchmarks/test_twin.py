import math

import pytest
import torch

from benchmarks.contenders import DETECTION
from benchmarks.ours import PROPOSALS, build_network, timed_training, trained_parts
from benchmarks.scenes import CLASSES, batch_of
from benchmarks.twin import as_torchvision, timed_twin, torchvision_twin, twin_optimizer

SIZE = (96, 128)


@pytest.fixture
def network():
    return build_network("mobilenet_v2", SIZE, CLASSES)


def count(module, trained):
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "resnet50"])
@pytest.mark.parametrize("trained", [False, True])
def test_the_twin_has_our_parameters_and_four_deltas_for_background(name, trained):
    ours = build_network(name, SIZE, CLASSES)
    theirs = torchvision_twin(ours, PROPOSALS, DETECTION)
    width = ours.require_detector().box_deltas.in_features
    assert count(theirs, trained) - count(ours, trained) == 4 * (width + 1)


def test_the_twin_computes_our_features_and_rpn(network):
    twin = torchvision_twin(network, PROPOSALS, DETECTION).eval()
    batch = batch_of(2, SIZE)
    images, targets = as_torchvision(batch)
    with torch.no_grad():
        prepared, _ = twin.transform(images)
        assert prepared.tensors.shape == (2, 3, *SIZE)
        theirs = twin.backbone(prepared.tensors)
        ours = network.eval().features(batch.images)
        assert torch.allclose(ours, theirs, atol=1e-4)
        logits, deltas = twin.rpn.head([theirs])
        our_logits, our_deltas, _ = network.require_rpn()(ours)
    assert torch.allclose(logits[0].permute(0, 2, 3, 1).flatten(1), our_logits, atol=1e-4)
    per_anchor = deltas[0].permute(0, 2, 3, 1).reshape(our_deltas.shape)
    assert torch.allclose(per_anchor, our_deltas, atol=1e-4)
    assert [t["boxes"].shape for t in targets] == [(12, 4), (12, 4)]


def test_the_twin_has_our_anchors_moved_by_half_a_cell(network):
    twin = torchvision_twin(network, PROPOSALS, DETECTION)
    theirs = twin.rpn.anchor_generator.cell_anchors[0]
    assert torch.allclose(theirs, network.require_rpn().cells, atol=0.5)  # theirs are rounded


def test_both_train(network):
    twin = torchvision_twin(network, PROPOSALS, DETECTION)
    batches = [batch_of(2, SIZE)] * 12
    laps, losses = timed_twin(twin, twin_optimizer(twin), batches)
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[-1] < losses[0] - 0.1
    assert len(laps.asked) == 13
    for part in ("rpn", "detector"):
        parts = trained_parts(network, part)
        first = timed_training(network, *parts, batches, 1)[1][0]["loss"]
        timed_training(network, *parts, batches, 11)
        assert timed_training(network, *parts, batches, 1)[1][0]["loss"] < first


def test_laps(network):
    laps, curve = timed_training(
        network, *trained_parts(network, "rpn"), [batch_of(1, SIZE)] * 9, 3
    )
    assert len(curve) == 1
    assert (len(laps.asked), len(laps.delivered)) == (4, 3)
    assert laps.iterations(1) == pytest.approx((laps.asked[3] - laps.asked[1]) / 2)
    assert 0 <= laps.waiting(1) < 1
