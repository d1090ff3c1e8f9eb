import math
import os
import signal

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from components import disk
from components.errors import InputError
from components.termination import Terminated
from components.tracking import Run
from components.training import checkpoint_times
from components.training.batches import Batch
from components.training.checkpoint_times import CheckpointTimes
from components.training.loop import train
from components.training.parameters import SolverParameters
from components.training.resume import Progress, ResumePoint
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
        noise = torch.rand((), generator=generator, device=generator.device)
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
        [losses(net) if losses else losses_of(net)],
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
    assert point.load(net, build_optimizer([net], solver())) == Progress()
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
    kept = ResumePoint(tmp_path / "resume.safetensors", "k").load(net, optimizer)
    assert kept.done == 4
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


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)]
)
def test_a_signal_keeps_the_iteration_at_hand_and_goes_on_to_the_same_bits(
    tmp_path, number, raised
):
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    whole, curve = fit(tmp_path / "a", solver())

    def signalled(first, last):
        for n in range(first, last):
            if n == 4:  # between two lines of the curve, and not where a checkpoint is due
                os.kill(os.getpid(), number)
            yield batch(n)

    with pytest.raises(raised):
        fit(tmp_path / "b", solver(), feed=signalled)
    started = []

    def counting(first, last):
        started.append(first)
        return batches(first, last)

    again, second_curve = fit(tmp_path / "b", solver(), feed=counting)
    assert started == [5]
    assert equal(whole, again)
    assert curve == second_curve
    assert {each: signal.getsignal(each) for each in before} == before


def test_a_second_signal_stops_at_once(tmp_path):
    def impatient(first, last):
        yield batch(0)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        yield batch(1)

    with pytest.raises(Terminated):
        fit(tmp_path, solver(), feed=impatient)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_learning_rate_far_too_large_never_reaches_a_checkpoint(tmp_path, precision):
    with pytest.raises(InputError, match=r"not finite.*Lower solver\.lr"):
        fit(tmp_path, solver(lr=1e25, log_every=1, checkpoint_every=1, precision=precision))
    for path in tmp_path.iterdir():
        assert all(value.isfinite().all() for value in load_file(path).values())


def test_weights_that_a_finite_loss_makes_infinite_are_not_kept(tmp_path):
    """The loss of the iteration that breaks the weights is still finite: they are looked at."""

    def steep(net):
        good = losses_of(net)

        def losses(batch, generator):
            terms = good(batch, generator)
            if batch.files == ("7.png",):  # a square root at 0: the value is 0, the gradient not
                weight = net.head.weight
                terms["size"] = (weight - weight.detach()).square().sum().sqrt()
            return terms

        return losses

    with pytest.raises(InputError, match=r"after iteration 8, .*'network\.\S+' are not finite"):
        fit(tmp_path, solver(), losses=steep)
    kept = load_file(tmp_path / "resume.safetensors")
    assert all(value.isfinite().all() for value in kept.values())


def test_a_disk_that_refuses_the_resume_point_leaves_the_last_one(tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, solver(), feed=stopping_after(5))
    kept = (tmp_path / "resume.safetensors").read_bytes()
    monkeypatch.setattr(disk, "free", lambda path: 100)
    with pytest.raises(InputError, match=r"resume\.partial: cannot be written .*\d+ bytes .* 100 "):
        fit(tmp_path, solver())
    assert [path.name for path in tmp_path.iterdir()] == ["resume.safetensors"]
    assert (tmp_path / "resume.safetensors").read_bytes() == kept


@pytest.fixture
def clock(monkeypatch):
    """The time in seconds, which stands still."""
    now = [0.0]
    monkeypatch.setattr(checkpoint_times, "monotonic", lambda: now[0])
    return now


def saved_at(monkeypatch, clock, seconds):
    """The iterations of the resume points written from now on; each takes some seconds."""
    found, plain = [], ResumePoint.save

    def save(point, network, optimizer, progress):
        plain(point, network, optimizer, progress)
        found.append(progress.done)
        clock[0] += seconds

    monkeypatch.setattr(ResumePoint, "save", save)
    return found


def test_a_resume_point_is_due_after_some_time_too_and_changes_nothing(
    tmp_path, clock, monkeypatch
):
    """Also between two lines of the curve, here at 5, 10 and 12."""
    settings = solver(log_every=5, checkpoint_every=10_000)
    whole, curve = fit(tmp_path / "whole", settings)

    def slow(first, last):
        for n in range(first, 9):
            clock[0] += 60
            yield batch(n)
        raise KeyboardInterrupt  # SIGKILL, as far as what is kept goes

    found = saved_at(monkeypatch, clock, 0)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "killed", settings, feed=slow)
    assert found == [2, 4, 6, 8]
    started = []

    def late(first, last):
        started.append(first)
        return batches(first, last)

    again, second_curve = fit(tmp_path / "killed", settings, feed=late)
    assert started == [8]
    assert equal(whole, again)
    assert curve == second_curve


def test_iterations_make_it_due_as_before(tmp_path, clock, monkeypatch):
    found = saved_at(monkeypatch, clock, 0)
    fit(tmp_path, solver())
    assert found == [4, 8, 12]


def test_what_takes_long_to_write_comes_at_most_after_ten_times_as_long(
    tmp_path, clock, monkeypatch
):
    def timed(first, last):
        for n in range(first, last):
            clock[0] += 100
            yield batch(n)

    found = saved_at(monkeypatch, clock, 40)
    fit(tmp_path, solver(log_every=20, checkpoint_every=10_000, iterations=15), feed=timed)
    assert found == [2, 6, 10, 14, 15]


def test_the_time_counts_from_the_last_one_whatever_made_it_due(clock):
    times = CheckpointTimes(solver(checkpoint_every=4, checkpoint_seconds=30))
    clock[0] = 29
    assert not times.due(3, logged=True)
    assert times.due(4, logged=True)
    with times.writing():
        pass
    clock[0] = 58
    assert not times.due(5, logged=False)
    clock[0] = 59
    assert times.due(5, logged=False)


def test_of_several_processes_it_is_due_at_a_line_of_the_curve_only(clock, monkeypatch):
    """The losses since the last line are a matter of all processes."""
    for name, value in (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    times = CheckpointTimes(solver(checkpoint_every=10_000, checkpoint_seconds=30))
    clock[0] = 31
    assert not times.due(3, logged=False)
    assert times.due(4, logged=True)


def stopping_after(number):
    def feed(first, last):
        yield from batches(first, number)
        raise KeyboardInterrupt

    return feed
