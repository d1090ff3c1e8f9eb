"""ReLU6 in place: torch's values and gradient."""

import torch
from torch import nn

from models.relu6 import ReLU6, replace_relu6


def test_values_and_gradient_are_torchs():
    values = torch.tensor([-1.0, 0.0, 1e-3, 3.0, 6.0, 7.0], requires_grad=True)
    ours, theirs = ReLU6()(values * 1), nn.ReLU6()(values * 1)
    assert torch.equal(ours, theirs)
    weights = torch.arange(1.0, 7.0)
    (gradient,) = torch.autograd.grad((ours * weights).sum(), values)
    (wanted,) = torch.autograd.grad((theirs * weights).sum(), values)
    assert torch.equal(gradient, wanted)
    assert gradient.tolist() == [0, 0, 3, 4, 0, 0]


def test_it_is_in_place_with_and_without_a_gradient():
    for requires_grad in (True, False):
        before = torch.full((3,), 9.0, requires_grad=requires_grad) * 1
        after = ReLU6()(before)
        assert after.data_ptr() == before.data_ptr()
        assert after.tolist() == [6, 6, 6]


def test_all_of_a_network_are_replaced():
    network = nn.Sequential(nn.ReLU6(), nn.Sequential(nn.ReLU6(inplace=True)))
    replace_relu6(network)
    assert not any(isinstance(module, nn.ReLU6) for module in network.modules())
