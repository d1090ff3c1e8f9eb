"""A stage as a Kubeflow task: its parameters, its scratch folder, what it reports."""

import json
import sys
import types
from argparse import ArgumentTypeError
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import pytest

from components import main as stage_main
from components.command_line import parse
from components.contract import Input, Output, Resources, Scratch, load_stage, parameters
from components.digest import path_digest
from components.errors import InputError
from components.kubeflow import json_object, unwrap, whole_numbers
from components.scratch import locked, sole_use
from pipelines.sections import STAGES


@dataclass(frozen=True, kw_only=True)
class ToyStage:
    """A stage for the tests."""

    resources: ClassVar[Resources] = Resources()

    data: Annotated[Path, Input("Dataset")]
    """Data."""
    model: Annotated[Path, Output("Model")]
    """Model."""
    metrics: Annotated[Path, Output("Metrics")]
    """Metrics."""
    scratch: Annotated[Path, Scratch()]
    """Scratch."""
    lr: float = 0.1
    """Learning rate."""
    steps: int = 3
    """Steps."""
    drops: tuple[int, ...] = (1, 2)
    """Drops."""
    flip: bool = True
    """Flip."""


def executor_input(folder, **inputs):
    artifacts = {
        name: {"artifacts": [{"name": name, "uri": f"minio://b/{name}", "metadata": {}}]}
        for name in ("model", "metrics")
    }
    outputs = {"artifacts": artifacts, "outputFile": str(folder / "kfp" / "out.json")}
    return {"inputs": {"parameterValues": inputs}, "outputs": outputs}


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """Run the toy stage as Kubeflow does; returns the stage as it ran and Kubeflow's report."""
    seen = {}

    def run(stage, run):
        seen["stage"] = stage
        stage.model.write_text("weights")
        stage.metrics.write_text(
            json.dumps({"loss": 0.5, "AP": {"shared": 0.25}, "x": float("nan")})
        )

    module = types.ModuleType("components.toy_stage.run")
    module.run = run
    monkeypatch.setitem(sys.modules, "components.toy_stage.run", module)
    monkeypatch.setattr(stage_main, "load_stage", lambda name: ToyStage)
    (tmp_path / "d").mkdir()

    def call(section, **inputs):
        flags = ["--data", tmp_path / "d", "--model", tmp_path / "m" / "model"]
        flags += ["--metrics", tmp_path / "m" / "metrics", "--scratch", tmp_path / "scratch"]
        flags += ["--parameters", json.dumps(section)]
        flags += ["--executor_input", json.dumps(executor_input(tmp_path, **inputs))]
        stage_main.main("toy_stage", [str(flag) for flag in flags])
        return seen["stage"], json.loads((tmp_path / "kfp" / "out.json").read_text())

    return call


def test_a_section_as_json_is_what_the_flags_are(toy):
    stage, _ = toy({"lr": 0.5, "steps": 4, "drops": [3, 4], "flip": False})
    assert parameters(stage) == {"lr": 0.5, "steps": 4, "drops": [3, 4], "flip": False}


def test_whole_numbers_come_as_doubles_from_kubeflow(toy):
    """Its parameters are protobuf Structs, whose numbers are all doubles."""
    stage, _ = toy({"lr": 1.0, "steps": 600.0, "drops": [10.0]})
    assert (stage.lr, stage.steps, stage.drops) == (1.0, 600, (10,))
    assert isinstance(stage.steps, int)
    assert whole_numbers({"a": [1e-7, 2.0], "b": {"c": 1e30}}) == {
        "a": [1e-7, 2],
        "b": {"c": int(1e30)},
    }


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"lrr": 1}, "lrr: is no parameter of the stage"),
        ({"help": True}, "help: is no parameter"),
        ({"steps": 1.5}, "--steps.*'1.5'"),
        ({"steps": None}, "--parameters: steps: is empty"),
        ({"drops": []}, "--parameters: drops: is empty"),
        ({"steps": ""}, "--parameters: steps: is empty"),
        ({"data": "elsewhere"}, "data: is no parameter"),
        ({"model": "elsewhere"}, "model: is no parameter"),
    ],
)
def test_a_wrong_section_is_refused(toy, section, message):
    with pytest.raises(SystemExit, match=message):
        toy(section)


@pytest.mark.parametrize("text", ["{", "[1]", "3", ""])
def test_what_is_no_json_object_is_refused(text):
    with pytest.raises(InputError, match="--parameters"):
        unwrap(ToyStage, ["--parameters", text])
    with pytest.raises(ArgumentTypeError, match="JSON"):
        json_object(text)


def test_without_kubeflow_nothing_changes():
    flags = ["--data", "d", "--lr", "0.5"]
    assert unwrap(ToyStage, flags) == (None, flags)


def test_metrics_are_shown_as_numbers_and_the_rest_by_what_it_is(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("FOURSTEP_PIPELINE_RUN", "run-7")
    _, report = toy({})
    (metrics,) = report["artifacts"]["metrics"]["artifacts"]
    assert metrics["metadata"] == {"loss": 0.5, "AP.shared": 0.25}
    (model,) = report["artifacts"]["model"]["artifacts"]
    digest = path_digest(tmp_path / "m" / "model")
    assert model == {
        "name": "model",
        "uri": "minio://b/model",
        "metadata": {"sha256": digest, "kfp_run_id": "run-7"},
    }


def test_the_scratch_folder_is_found_again_by_a_retry_and_by_no_other_run(toy, tmp_path):
    first, _ = toy({}, parameters={"lr": 1})
    again, _ = toy({}, parameters={"lr": 1})
    other, _ = toy({}, parameters={"lr": 2})
    assert first.scratch == again.scratch != other.scratch
    assert first.scratch.parent == other.scratch.parent == tmp_path / "scratch"


def test_another_image_does_not_go_on_from_what_this_one_left(toy, monkeypatch):
    first, _ = toy({})
    monkeypatch.setenv("FOURSTEP_IMAGE", "train@sha256:1")
    other, _ = toy({})
    assert first.scratch != other.scratch


def test_a_second_run_of_the_same_gets_a_folder_of_its_own(toy, monkeypatch):
    monkeypatch.setenv("FOURSTEP_PIPELINE_RUN", "run-7")
    first, _ = toy({})
    with locked(first.scratch):
        second, _ = toy({})
    again, _ = toy({})
    assert second.scratch.name == f"{first.scratch.name}-run-7"
    assert again.scratch == first.scratch


def test_two_runs_do_not_share_a_scratch_folder(tmp_path):
    with (
        locked(tmp_path / "s"),
        pytest.raises(InputError, match="another run of this stage"),
        locked(tmp_path / "s"),
    ):
        pass
    with locked(tmp_path / "s"):
        pass


def test_a_scratch_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"--scratch .*file.*cannot be written to"),
        locked(tmp_path / "file"),
    ):
        pass


def test_unfinished_work_stays_after_a_failure_and_goes_after_success(tmp_path):
    flags = ["--data", "d", "--model", "m", "--metrics", "n", "--scratch", str(tmp_path / "s")]
    stage = parse(ToyStage, flags)
    unfinished = tmp_path / "s" / "unfinished"
    unfinished.mkdir(parents=True)

    def fail():
        with sole_use(stage):
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail()
    assert unfinished.exists()
    with sole_use(stage):
        pass
    assert not unfinished.exists()


@pytest.mark.parametrize("name", STAGES)
def test_no_stage_has_a_field_of_kubeflows_flags(name):
    assert not {"parameters", "executor_input"} & set(load_stage(name).__dataclass_fields__)
