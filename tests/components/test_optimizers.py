"""Our optimizers are torch's, without the import of torch.compile's machinery."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from components.networks import optimizers
from components.training.parameters import SolverParameters
from components.training.solver import build_optimizer

ROOT = Path(__file__).parents[2]
SETTINGS = [
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "fused": True}),
    ("AdamW", {"lr": 0.1, "fused": True}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.1}),
]


def trained(module, name, settings):
    torch.manual_seed(0)
    net = nn.Linear(3, 2)
    optimizer = getattr(module, name)(net.parameters(), **settings)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=8)
    for turn in range(6):
        optimizer.zero_grad(set_to_none=turn % 2 == 0)
        net(torch.randn(4, 3)).square().mean().backward()
        optimizer.step()
        schedule.step()
        if turn == 3:
            optimizer.load_state_dict(optimizer.state_dict())
    return net, optimizer


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_the_same_bits_as_torchs_own(name, settings):
    ours, our_optimizer = trained(optimizers, name, settings)
    theirs, their_optimizer = trained(torch.optim, name, settings)
    assert torch.equal(ours.weight, theirs.weight)
    assert torch.equal(ours.bias, theirs.bias)
    a, b = our_optimizer.state_dict(), their_optimizer.state_dict()
    assert a["param_groups"] == b["param_groups"]
    for number, state in b["state"].items():
        assert all(torch.equal(a["state"][number][key], value) for key, value in state.items())


def test_a_step_leaves_no_gradient_history():
    net, optimizer = trained(optimizers, "SGD", SETTINGS[0][1])
    assert all(p.is_leaf and p.requires_grad for p in net.parameters())
    assert not any(v.requires_grad for s in optimizer.state.values() for v in s.values())


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_the_solver_takes_them(name):
    optimizer = build_optimizer([nn.Linear(2, 2)], SolverParameters(optimizer=name))
    assert isinstance(optimizer, optimizers.Plain)


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_a_training_imports_no_torch_dynamo(name, settings):
    code = f"""
import sys, torch
from components.networks.optimizers import {name}
net = torch.nn.Linear(2, 2)
optimizer = {name}(net.parameters(), **{settings})
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=2)
optimizer.zero_grad()
net(torch.ones(1, 2)).sum().backward()
optimizer.step()
schedule.step()
optimizer.load_state_dict(optimizer.state_dict())
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
