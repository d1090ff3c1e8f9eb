from types import SimpleNamespace

import pytest

import components.progress
from benchmarks import stage_trace
from benchmarks.overhead import FEW, changed, left_out, share_row


def stage(**changes):
    values = {"stage": "train_rpn", "work": 3.0, "end": 13.0, "imports": 2.0, "loops": []}
    return values | changes


def test_the_work_of_the_whole_run_is_a_turns_time_more_often():
    settings = {"train_rpn": {"solver": {"iterations": 600}}, "evaluate": {}}
    few = FEW["iterations"]
    loops = [[480, 9.0], [few, 0.5]]
    assert left_out(stage(loops=loops), settings) == pytest.approx((600 - few) * 0.5)
    assert left_out(stage(loops=[[600, 0.5]]), settings) == 0  # it was the whole run
    assert left_out(stage(stage="evaluate", loops=loops), settings) == 0
    crops = {"init_backbone": {"crops": {"size": 40, "epochs": 8}}}
    loops = [[480, 9.0], [FEW["epochs"], 2.0]]
    assert left_out(stage(stage="init_backbone", loops=loops), crops) == pytest.approx(14)


def test_the_share_by_hand():
    row = share_row(20.0, [stage(stage="evaluate"), stage(stage="export_onnx")])
    assert row.ours == pytest.approx((20 - 2 * 8) / 20)  # each has 8 s of work
    assert row.reached is False


def test_loops_are_timed_by_their_median_turn(monkeypatch):
    monkeypatch.setattr(components.progress, "progress", components.progress.progress)
    clock = [0.0]
    monkeypatch.setattr(stage_trace, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    found = stage_trace.timed_loops()
    # The first turn of a training makes and imports things.
    for seconds in components.progress.progress([9.0, 2.0, 1.0, 2.0], 4, "test"):
        clock[0] += seconds
    list(components.progress.progress([], 0, "nothing"))
    assert found == [(4, 2.0)]


def test_settings_change_wherever_the_key_is():
    assert changed({"a": {"epochs": 8, "b": 1}, "epochs": 2}, {"epochs": 1}) == {
        "a": {"epochs": 1, "b": 1},
        "epochs": 1,
    }
