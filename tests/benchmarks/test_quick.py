"""Each benchmark from end to end, on small images and with next to no repetition."""

import importlib
import json

import pytest
import torch

from benchmarks.__main__ import ALONE, SECONDS, arguments
from benchmarks.budget import Budget
from benchmarks.data_waiting import WORKERS
from benchmarks.suite import run_all

ROWS = {
    "training_step": 3,
    "frozen_features": 2,
    "four_steps": 8,
    "proposals": 2,
    "inference": 4,
    "roi_sharing": 2,
    "data_waiting": len(WORKERS),
    "roofline": 5,
    "profile": 0,
    "precision": 4,
    "compiled": 6,
    "freed_memory": 1,
}


@pytest.mark.parametrize("name", ROWS)
def test_quick(name, tmp_path, monkeypatch):
    if name == "compiled":
        monkeypatch.setattr(torch, "compile", lambda work, **_: work)  # which takes minutes
    device = "cuda" if torch.cuda.is_available() else "cpu"
    budget = Budget(quick=True, device=device, folder=tmp_path)
    rows = importlib.import_module(f"benchmarks.{name}").run(budget)
    assert len(rows) == ROWS[name]
    assert all(row.name.startswith(name) and row.ours >= 0 for row in rows)
    assert all(row.ratio is None or row.ratio > 0 for row in rows)
    if name == "profile":
        tables = (tmp_path / "profiles.md").read_text()
        assert tables.count("### mobilenet_v2 96 x 128") == 3
        assert tables.count("| aten::convolution_backward |") == 3


def test_the_suite_goes_on_after_a_failure_and_says_so(tmp_path, monkeypatch, capsys):
    module = importlib.import_module("benchmarks.profile")
    monkeypatch.setattr(module, "run", lambda budget: 1 / 0)
    assert run_all({"profile": 1.0}, "cpu", True, tmp_path) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert json.loads((tmp_path / "benchmarks.json").read_text())["failed"] == ["profile"]


def test_all_benchmarks_fit_in_twenty_minutes_and_are_there():
    assert sum(SECONDS.values()) <= 16 * 60  # the rest is warm-up and set-up
    for name in [*SECONDS, *ALONE]:
        assert importlib.util.find_spec(f"benchmarks.{name}") is not None


def test_an_unknown_name_is_refused(capsys):
    with pytest.raises(SystemExit):
        arguments(["training_steps"])
    assert "no benchmark training_steps" in capsys.readouterr().err
