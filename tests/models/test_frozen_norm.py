"""Frozen norms folded into convs: torchvision's names and values, without its passes over maps."""

import copy

import pytest
import torch
import torchvision
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from models.backbones import build_backbone
from models.frozen_norm import FoldedNorm, NormedConv2d, fold_frozen_norms

CLASSIFIERS = {
    "resnet18": (torchvision.models.resnet18, "layer1", 20),
    "resnet50": (torchvision.models.resnet50, "layer1", 53),
    "mobilenet_v2": (torchvision.models.mobilenet_v2, "features", 52),
}


def both(name):
    """A classifier with torchvision's frozen norms, all of them random, and the same folded."""
    torch.manual_seed(0)
    build = CLASSIFIERS[name][0]
    theirs = build(norm_layer=FrozenBatchNorm2d).double().eval()
    for module in theirs.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.weight.uniform_(0.5, 1.5)
            module.running_var.uniform_(0.5, 2)
            module.running_mean.normal_()
            module.bias.normal_()
    ours = build(norm_layer=FoldedNorm).double().eval()
    ours.load_state_dict(theirs.state_dict())
    fold_frozen_norms(ours)
    return theirs, ours


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_values_and_gradients_are_torchvisions(name):
    theirs, ours = both(name)
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    torch.testing.assert_close(ours(images), theirs(images))
    for network in (theirs, ours):
        network(images).square().sum().backward()
    gradients = {n: p.grad for n, p in theirs.named_parameters()}
    torch.testing.assert_close({n: p.grad for n, p in ours.named_parameters()}, gradients)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_norm_is_folded_and_names_stay(name):
    theirs, ours = both(name)
    folded = [m for m in ours.modules() if isinstance(m, NormedConv2d)]
    norms = [m for m in ours.modules() if isinstance(m, FoldedNorm)]
    assert len(folded) == len(norms) == CLASSIFIERS[name][2]
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_a_copy_has_norms_of_its_own():
    network = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), FoldedNorm(1))
    fold_frozen_norms(network)
    other, image = copy.deepcopy(network), torch.ones(1, 1, 1, 1)
    before = network(image)
    other[1].weight.mul_(2)
    assert torch.equal(network(image), before)
    assert not torch.equal(other(image), before)


def test_trained_batch_norm_is_left_alone():
    parts = build_backbone("tiny", "batch")
    assert not any(isinstance(m, NormedConv2d) for m in parts.shared.modules())


@pytest.mark.parametrize(
    "layers",
    [
        (nn.ReLU(), FoldedNorm(1)),
        (nn.Conv2d(1, 1, 1, bias=True), FoldedNorm(1)),
        (nn.Conv2d(1, 1, 1, bias=False), nn.ReLU(), FoldedNorm(1)),
    ],
)
def test_a_norm_that_would_be_lost_is_refused(layers):
    with pytest.raises(ValueError, match="does not follow a conv without bias"):
        fold_frozen_norms(nn.Sequential(*layers))
