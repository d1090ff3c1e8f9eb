import math

import pytest
import torch
from torch import nn

from components.errors import InputError
from components.tracking import Run
from components.training.batches import Batch
from components.training.loop import train
from components.training.parameters import SolverParameters
from components.training.resume import ResumePoint
from components.training.solver import build_optimizer, lr_at


def batch(number):
    source = torch.Generator().manual_seed(number)
    none = torch.zeros(1)
    return Batch(
        files=(f"{number}.png",),
        images=torch.rand(4, 3, 6, 6, generator=source),
        **dict.fromkeys(("sizes", "boxes", "labels", "proposals", "valid"), none),
    )


def batches(first, last):
    return iter([batch(n) for n in range(first, last)])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.shared = nn.Conv2d(3, 5, 3)  # its weights lie channels last
        self.head = nn.Linear(5, 1)


def losses_of(net):
    def losses(batch, generator):
        noise = torch.rand((), generator=generator)
        output = net.head(net.shared(batch.images).mean((2, 3)))
        return {"fit": (output - 1 - noise).square().mean(), "size": net.head.weight.square().sum()}

    return losses


def solver(**changes):
    values = {"lr": 0.02, "iterations": 12, "lr_drops": (9,), "log_every": 2, "checkpoint_every": 4}
    return SolverParameters(**(values | changes))


def fit(path, settings, *, key="k", losses=None, parts=("shared", "head"), feed=batches):
    net = Net()
    trained = [getattr(net, name) for name in parts]
    curve = train(
        net,
        trained,
        losses(net) if losses else losses_of(net),
        feed,
        settings,
        ResumePoint(path / "resume.safetensors", key),
        Run(),
        "test",
    )
    return net, curve


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_curve_and_learning(tmp_path):
    _, curve = fit(tmp_path, solver())
    assert [row["iteration"] for row in curve] == [2, 4, 6, 8, 10, 12]
    assert curve[-1]["loss"] < curve[0]["loss"]
    assert curve[-1]["lr"] == pytest.approx(0.002)
    assert curve[0]["loss"] == pytest.approx(curve[0]["fit"] + curve[0]["size"])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_going_on_after_a_crash_gives_the_same_bits(tmp_path, optimizer):
    settings = solver(optimizer=optimizer)
    whole, curve = fit(tmp_path / "a", settings)

    def dying(first, last):
        yield from batches(first, 7)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "b", settings, feed=dying)
    started = []

    def counting(first, last):
        started.append(first)
        return batches(first, last)

    again, second_curve = fit(tmp_path / "b", settings, feed=counting)
    assert started == [4]
    assert equal(whole, again)
    assert curve == second_curve


def test_a_resume_point_of_other_inputs_is_not_used(tmp_path):
    fit(tmp_path, solver(), key="one")
    started = []

    def counting(first, last):
        started.append(first)
        return batches(first, last)

    fit(tmp_path, solver(), key="two", feed=counting)
    assert started == [0]


def test_a_resume_point_of_another_network_is_not_used_and_changes_nothing(tmp_path):
    fit(tmp_path, solver())
    net = Net()
    net.head = nn.Linear(5, 2)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    point = ResumePoint(tmp_path / "resume.safetensors", "k")
    assert point.load(net, build_optimizer([net], solver())) == (0, [])
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())


def test_global_randomness_changes_nothing(tmp_path):
    first, _ = fit(tmp_path / "a", solver())

    def disturbing(first_batch, last):
        for item in batches(first_batch, last):
            torch.rand(3)
            yield item

    second, _ = fit(tmp_path / "b", solver(), feed=disturbing)
    assert equal(first, second)


def test_parts_that_are_not_trained_stay_bit_equal(tmp_path):
    net, _ = fit(tmp_path, solver(), parts=("head",))
    start = Net()
    assert equal(net.shared, start.shared)
    assert not torch.equal(net.head.weight, start.head.weight)
    assert not net.shared.training
    assert net.head.training


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_state(tmp_path):
    def breaking(net):
        good = losses_of(net)

        def losses(batch, generator):
            terms = good(batch, generator)
            factor = math.nan if batch.files == ("6.png",) else 1.0
            return terms | {"size": terms["size"] * factor}

        return losses

    with pytest.raises(InputError, match=r"iteration 7 is not finite .*size nan.* 6\.png"):
        fit(tmp_path, solver(), losses=breaking)
    net = Net()
    optimizer = build_optimizer([net.shared, net.head], solver())
    done, _ = ResumePoint(tmp_path / "resume.safetensors", "k").load(net, optimizer)
    assert done == 4
    assert all(p.isfinite().all() for p in net.parameters())


def test_biases_learn_twice_as_fast_and_do_not_decay():
    groups = build_optimizer([nn.Linear(2, 2)], solver(weight_decay=0.1)).param_groups
    assert [g["lr_factor"] for g in groups] == [1.0, 2.0]
    assert [g["weight_decay"] for g in groups] == [0.1, 0.0]
    assert [len(g["params"]) for g in groups] == [1, 1]


def test_schedule_by_hand():
    settings = solver(lr=1.0, warmup_iterations=4, lr_drops=(6, 8), iterations=10)
    shown = [round(lr_at(settings, n), 6) for n in range(10)]
    assert shown == [0.25, 0.5, 0.75, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]
