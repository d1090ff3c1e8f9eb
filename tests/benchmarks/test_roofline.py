import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.budget import Budget
from benchmarks.ours import build_network
from benchmarks.roofline import counted, our_loss
from benchmarks.scenes import CLASSES


def flops(conv, needs_input_grad, size=6):
    images = torch.randn(2, conv.in_channels, size, size, requires_grad=needs_input_grad)
    return counted(lambda: conv(images).sum(), Budget()).flops


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_each_gradient_of_a_conv_costs_what_the_conv_costs(groups):
    conv = nn.Conv2d(8, 16, 3, stride=2, padding=1, groups=groups, bias=False)
    # 2 images, 3 x 3 cells, 16 channels: each the sum of 8 / groups * 3 * 3 products.
    once = 2 * (2 * 3 * 3 * 16) * (8 // groups * 3 * 3)
    assert flops(conv, needs_input_grad=True) == 3 * once
    assert flops(conv, needs_input_grad=False) == 2 * once
    conv.weight.requires_grad_(False)
    assert flops(conv, needs_input_grad=True) == 2 * once


def test_a_transposed_conv():
    conv = nn.ConvTranspose2d(8, 16, 2, stride=2, bias=False)
    once = 2 * (2 * 6 * 6 * 8) * (16 * 2 * 2)
    assert flops(conv, needs_input_grad=True) == 3 * once


def test_dense_convs_are_counted_as_torch_counts_them():
    network = build_network("resnet18", (96, 128), CLASSES)
    loss = our_loss(network, "detector", Budget(quick=True))
    with FlopCounterMode(display=False) as by_torch:
        loss().backward()
    assert counted(loss, Budget()).flops == by_torch.get_total_flops() > 0


def test_a_depthwise_trunk_costs_at_most_three_times_its_forward_pass():
    network = build_network("mobilenet_v2", (96, 128), CLASSES)
    images = torch.randint(0, 256, (1, 3, 96, 128), dtype=torch.uint8)
    with torch.no_grad(), FlopCounterMode(display=False) as forward:
        network.features(images)
    total = counted(lambda: network.features(images).sum(), Budget()).flops
    assert 2 * forward.get_total_flops() < total <= 3 * forward.get_total_flops()
