"""A stage as a Kubeflow task: its parameters, its scratch folder, what it reports."""

import json
import os
import sys
import types
from argparse import ArgumentTypeError
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
from kfp import dsl

from components import main as stage_main
from components import scratch
from components.command_line import parse
from components.contract import (
    Input,
    Output,
    Resources,
    Scratch,
    load_stage,
    parameters,
    paths,
    roles,
)
from components.digest import path_digest
from components.errors import InputError
from components.kubeflow import json_object, metadata, take_variables, unwrap, whole_numbers
from components.processes import start_several
from components.scratch import locked, sole_use
from components.tracking import Run
from components.tracking.record import record_outputs
from pipelines.sections import STAGES, check_inputs, stage_of
from pipelines.sections import flatten as parameters_of


@dataclass(frozen=True, kw_only=True)
class ToyStage:
    """A stage for the tests."""

    resources: ClassVar[Resources] = Resources()

    data: Annotated[Path, Input("Dataset")]
    """Data."""
    model: Annotated[Path, Output("Model")]
    """Model."""
    page: Annotated[Path, Output("HTML")]
    """Page."""
    metrics: Annotated[Path, Output("Metrics", detail=True)]
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


def executor_input(folder, section, **inputs):
    """As Kubeflow gives it, with the artifact that PUBLISH_LOGS adds."""
    artifacts = {
        name: {"artifacts": [{"name": name, "uri": str(folder / "m" / name)}]}
        for name in ("step_1_model", "step_1_page", "executor-logs")
    }
    return {
        "inputs": {
            "parameterValues": {"parameters": section, **inputs},
            "artifacts": {"data": {"artifacts": [{"name": "7", "uri": str(folder / "d")}]}},
        },
        "outputs": {"artifacts": artifacts, "outputFile": str(folder / "kfp" / "out.json")},
    }


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """Run the toy stage as Kubeflow does; returns the stage as it ran and Kubeflow's report."""
    seen = {}

    def run(stage, run):
        seen["stage"] = stage
        stage.model.write_text("weights")
        stage.page.write_text("<html>")
        stage.metrics.write_text(
            json.dumps({"loss": 0.5, "AP": {"shared": 0.25}, "x": float("nan")})
        )

    module = types.ModuleType("components.toy_stage.run")
    module.run = run
    monkeypatch.setitem(sys.modules, "components.toy_stage.run", module)
    monkeypatch.setattr(stage_main, "load_stage", lambda name: ToyStage)
    (tmp_path / "d").mkdir()

    def call(section, **inputs):
        flags = ["--scratch", tmp_path / "scratch"]
        flags += ["--executor_input", json.dumps(executor_input(tmp_path, section, **inputs))]
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
        ({"steps": None}, "parameters: steps: is empty"),
        ({"drops": []}, "parameters: drops: is empty"),
        ({"steps": ""}, "parameters: steps: is empty"),
        ({"data": "elsewhere"}, "data: is no parameter"),
        ({"model": "elsewhere"}, "model: is no parameter"),
    ],
)
def test_a_wrong_section_is_refused(toy, section, message):
    with pytest.raises(SystemExit, match=message):
        toy(section)


@pytest.mark.parametrize("text", ["{", "[1]", "3", ""])
def test_what_is_no_json_object_is_refused(text):
    with pytest.raises(InputError, match="--executor_input"):
        unwrap(ToyStage, ["--executor_input", text])
    with pytest.raises(ArgumentTypeError, match="JSON"):
        json_object(text)


def test_without_kubeflow_nothing_changes():
    flags = ["--data", "d", "--lr", "0.5"]
    assert unwrap(ToyStage, flags) == (None, flags)


def test_the_page_has_all_that_kubeflow_shows_of_a_stage(toy, tmp_path):
    """No task reads it. What tasks read has no metadata: those are in the state of each reader."""
    _, report = toy({})
    assert set(report["artifacts"]) == {"step_1_model", "step_1_page"}
    (model,) = report["artifacts"]["step_1_model"]["artifacts"]
    assert model == {
        "name": "step_1_model",
        "uri": str(tmp_path / "m/step_1_model"),
        "metadata": {},
    }
    (page,) = report["artifacts"]["step_1_page"]["artifacts"]
    digest = path_digest(tmp_path / "m" / "step_1_model")
    assert page["metadata"] == {"model.sha256": digest, "loss": 0.5, "AP.shared": 0.25}


def test_a_stage_without_a_page_tells_the_digest_of_its_result(tmp_path):
    stage = parse(
        load_stage("export_onnx"),
        [f"--{n}={tmp_path / n}" for n in ("detector", "model", "metrics")],
    )
    stage.model.write_text("onnx")
    assert metadata(stage, "model", Run()) == {"sha256": path_digest(stage.model)}


def test_of_metrics_that_a_task_reads_kubeflow_shows_the_headline(tmp_path):
    """The rest would be in the state of its reader six times."""
    flags = [f"--{n}={tmp_path / n}" for n in ("data", "index", "detector")]
    names = ("metrics", "curves", "pictures", "report", "detections")
    stage = parse(load_stage("evaluate"), flags + [f"--{n}={tmp_path / n}" for n in names])
    figures = {"shared": {"AP": 0.7, "AP50": 0.95, "class": {"0": {"AP": 0.8}}}}
    stage.metrics.write_text(json.dumps(figures | {"recall": {"shared": {"AR_10": 0.6}}}))
    assert metadata(stage, "metrics", Run()) == {"shared.AP": 0.7, "shared.AP50": 0.95}


RECORDED = json.loads((Path(__file__).parent / "executor_inputs.json").read_text())
"""``{{$}}`` of all tasks of a run on Kubeflow Pipelines 2.17.0, as its driver sent them."""


@pytest.mark.parametrize("task", RECORDED)
def test_what_the_real_driver_sends_is_read(task, tmp_path):
    """Where its artifacts lie is what kfp itself says."""
    given = RECORDED[task]["executor_input"]
    if task == "check-params":
        assert set(check_inputs(json.dumps(given))) == set(given["inputs"]["parameterValues"])
        return
    declaration = load_stage(stage_of(task.replace("-", "_")))
    fixed = ["--data", "/data"] if "data" in roles(declaration) else []
    fixed += ["--scratch", "/scratch/x"] if "scratch" in roles(declaration) else []
    _found, flags = unwrap(declaration, [*fixed, "--executor_input", json.dumps(given)])
    stage = parse(declaration, flags)
    values = given["inputs"]["parameterValues"]["parameters"]
    assert (
        parameters(stage).items()
        >= {k: v for k, v in parameters_of(values).items() if not isinstance(v, list)}.items()
    )
    for side in ("inputs", "outputs"):
        for name, listed in given[side].get("artifacts", {}).items():
            artifact = dsl.Artifact(uri=listed["artifacts"][0]["uri"])
            if name in roles(declaration) and name != "data":
                assert str(getattr(stage, name)) == artifact.path


@pytest.mark.parametrize("task", [name for name in RECORDED if name != "check-params"])
def test_what_it_reports_is_of_its_own_outputs_only(task, tmp_path):
    """PUBLISH_LOGS=true, the server's default, adds an output that no stage has."""
    given = json.loads(json.dumps(RECORDED[task]["executor_input"]))
    given["outputs"]["outputFile"] = str(tmp_path / "out.json")
    for side in ("inputs", "outputs"):
        for name, listed in given[side].get("artifacts", {}).items():
            listed["artifacts"][0]["uri"] = str(tmp_path / name)
    declaration = load_stage(stage_of(task.replace("-", "_")))
    fixed = ["--data", "/data"] if "data" in roles(declaration) else []
    fixed += ["--scratch", str(tmp_path / "s")] if "scratch" in roles(declaration) else []
    found, flags = unwrap(declaration, [*fixed, "--executor_input", json.dumps(given)])
    stage = parse(declaration, flags)
    for path in paths(stage, Output).values():
        path.write_text("{}")
    found.report(stage, Run())
    told = json.loads((tmp_path / "out.json").read_text())["artifacts"]
    assert "executor-logs" in given["outputs"]["artifacts"]
    assert set(told) == set(given["outputs"]["artifacts"]) - {"executor-logs"}


def test_mlflow_keeps_the_details_of_which_kubeflow_has_no_artifact(tmp_path):
    names = ("data", "index", "metrics", "result", "report", "scratch")
    stage = parse(load_stage("validate_data"), [f"--{n}={tmp_path / n}" for n in names])
    for path in paths(stage, Output).values():
        path.write_text("{}")
    kept = []
    run = types.SimpleNamespace(metrics=lambda values: None, artifact=lambda p, n: kept.append(n))
    record_outputs(stage, run)
    assert kept == ["result", "report"]


def test_variables_come_as_lines_of_one(monkeypatch):
    monkeypatch.setenv("FOURSTEP_TASK", "FOURSTEP_IMAGE=0\nMLFLOW_TRACKING_URI=http://m?a=b")
    take_variables(["--task", "generate_proposals_3"])
    assert os.environ["FOURSTEP_STAGE"] == "generate_proposals_3"
    assert os.environ["FOURSTEP_IMAGE"] == "0"
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://m?a=b"
    assert "FOURSTEP_TASK" not in os.environ
    assert os.environ["FOURSTEP_SPOOL"] == "/scratch/.tracking"
    for name in ("FOURSTEP_STAGE", "FOURSTEP_IMAGE", "MLFLOW_TRACKING_URI", "FOURSTEP_SPOOL"):
        del os.environ[name]


def test_what_kubeflows_mlflow_plugin_says_counts_more(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://plugin")
    monkeypatch.setenv("FOURSTEP_SPOOL", "elsewhere")
    monkeypatch.setenv("FOURSTEP_TASK", "MLFLOW_TRACKING_URI=http://profile")
    take_variables([])
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://plugin"
    assert os.environ["FOURSTEP_SPOOL"] == "elsewhere"


def test_a_task_that_may_be_retried_runs_in_a_process_of_its_own(toy, monkeypatch):
    seen = []
    monkeypatch.setattr(stage_main, "supervise", lambda *given: seen.append(given) or 7)
    monkeypatch.setenv("FOURSTEP_RETRIES", "3 60s 2")
    with pytest.raises(SystemExit, match="7"):
        toy({})
    ((name, command, allowed),) = seen
    assert (name, command[1:3], allowed.count) == ("toy_stage", ["-m", "components.toy_stage"], 3)
    assert "--executor_input" in command
    monkeypatch.setenv("FOURSTEP_RESTARTS", "0")
    toy({})
    assert len(seen) == 1


def test_the_scratch_folder_is_found_again_by_a_retry_and_by_no_other_run(toy, tmp_path):
    first, _ = toy({"lr": 1})
    again, _ = toy({"lr": 1})
    other, _ = toy({"lr": 2})
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


def test_the_processes_of_torchrun_take_the_folder_that_was_chosen_for_them(toy, monkeypatch):
    """One that looked whether a folder is free would be in the others' way."""
    monkeypatch.setenv("FOURSTEP_PIPELINE_RUN", "run-7")
    first, _ = toy({})
    monkeypatch.setenv(scratch.NAME, first.scratch.name)
    monkeypatch.setattr(scratch, "is_free", lambda folder: pytest.fail("it looked"))
    again, _ = toy({})
    assert again.scratch == first.scratch


def test_torchrun_is_told_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("FOURSTEP_PROCESSES", "2")
    monkeypatch.setenv(scratch.NAME, "")
    told = []
    monkeypatch.setattr("os.execv", lambda *command: told.append(os.environ[scratch.NAME]))
    stage = types.SimpleNamespace(
        resources=Resources(several=True),
        solver=types.SimpleNamespace(images_per_batch=4),
        scratch=tmp_path / "0123",
    )
    start_several(stage, [])
    assert told == ["0123"]


def test_on_a_volume_without_locks_a_restart_finds_what_the_first_attempt_left(toy, monkeypatch):
    monkeypatch.setenv("FOURSTEP_PIPELINE_RUN", "run-7")
    monkeypatch.setattr("components.locks._try", lambda file, kind: None)
    first, _ = toy({})
    again, _ = toy({})
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
    flags = ["--data", "d", "--model", "m", "--metrics", "n", "--page", "p"]
    flags += ["--scratch", str(tmp_path / "s")]
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
    assert not {"executor_input", "task"} & set(load_stage(name).__dataclass_fields__)
