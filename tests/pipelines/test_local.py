"""Running in containers: what happened is read from the outputs, whatever kfp's runner says."""

import json
from pathlib import Path

import pytest

from components.errors import CheckFailed, InputError
from pipelines.document import read_documents
from pipelines.local import hardened, run_in_containers, task_outputs
from tests.pipelines.conftest import IMAGES, VERSION


@pytest.fixture
def package(tmp_path):
    from pipelines.compile import compile_pipeline
    from pipelines.local import local_profile
    from pipelines.sections import read_sections
    from tests.pipelines.conftest import ROOT

    (tmp_path / "data").mkdir()
    path = tmp_path / "four_step.yaml"
    compile_pipeline(
        path,
        sections=read_sections(ROOT / "params.yaml"),
        version=VERSION,
        images=IMAGES,
        profile=local_profile(tmp_path / "data"),
    )
    return path


class Engine:
    """Stands for the container engine: writes the outputs that a command names, or fails."""

    def __init__(self):
        self.ran, self.options = [], []
        self.failing, self.lying, self.silent = set(), set(), set()

    def __call__(self, client, image, command, volumes, **options):
        assert command[-2] == "--executor_input"
        given = json.loads(command[-1])
        file = Path(given["outputs"]["outputFile"])
        task = file.parent.name
        self.ran.append(task)
        self.options.append(options)
        if task in self.failing | self.lying:
            return int(task in self.failing)
        artifacts = given["outputs"].get("artifacts", {})
        for name, listed in artifacts.items():
            if not (task in self.silent and name.endswith("page")):
                write(Path(listed["artifacts"][0]["uri"]))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"artifacts": artifacts}))
        return 0


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("something")


@pytest.fixture
def engine(monkeypatch):
    fake = Engine()
    monkeypatch.setattr("pipelines.exit_status.run_container", fake)
    monkeypatch.setattr("docker.from_env", lambda: Client())
    return fake


class Client:
    """The engine's client, of which kfp asks for its security options and its end."""

    def info(self):
        return {}

    def close(self):
        pass


def test_tasks_run_in_order_and_their_outputs_are_counted(package, engine, tmp_path):
    runs = run_in_containers(package, tmp_path / "root")
    order = [run.task for run in runs]
    assert sorted(order) == sorted(engine.ran)
    assert order.index("check-data") < order.index("validate-data") < order.index("train-rpn")
    assert {run.state for run in runs} == {"ran"}
    declared = task_outputs(read_documents(package).spec)
    assert {run.task: sorted(run.outputs) for run in runs} == {
        task: sorted(names) for task, names in declared.items()
    }


def test_a_failed_task_fails_the_pipeline_and_the_rest_does_not_run(package, engine, tmp_path):
    engine.failing = {"train-rpn"}
    with pytest.raises(CheckFailed, match="train-rpn"):
        run_in_containers(package, tmp_path / "root")
    assert "train-rpn" in engine.ran
    assert "generate-proposals-1" not in engine.ran


@pytest.mark.parametrize("task", ["validate-onnx", "validate-data", "train-rpn"])
def test_a_success_without_outputs_is_none(package, engine, tmp_path, task):
    """The exit status 0 of a container that wrote nothing: an image of something else, say."""
    engine.lying = {task}
    with pytest.raises(CheckFailed, match=f"{task}: has not written"):
        run_in_containers(package, tmp_path / "root")


def test_one_missing_output_is_enough(package, engine, tmp_path):
    engine.silent = {"finetune-rpn"}
    with pytest.raises(CheckFailed, match="finetune-rpn: has not written step_3_page"):
        run_in_containers(package, tmp_path / "root")


def test_what_wrote_nothing_is_not_cached(package, engine, tmp_path):
    engine.lying = {"validate-onnx"}
    with pytest.raises(CheckFailed):
        run_in_containers(package, tmp_path / "root")
    engine.lying = set()
    runs = {run.task: run.state for run in run_in_containers(package, tmp_path / "root")}
    assert runs["validate-onnx"] == "ran"


def test_an_unchanged_run_is_all_cached_but_the_look_at_the_data(package, engine, tmp_path):
    """Tasks without outputs, too."""
    run_in_containers(package, tmp_path / "root")
    runs = run_in_containers(package, tmp_path / "root")
    assert {run.task for run in runs if run.state == "ran"} == {"check-data"}


def test_every_container_is_hardened(package, engine, tmp_path):
    run_in_containers(package, tmp_path / "root")
    for options in engine.options:
        assert options["network_mode"] == "none"
        assert options["read_only"]
        assert options["cap_drop"] == ["ALL"]
        assert options["security_opt"] == ["no-new-privileges"]
        assert not options["user"].startswith("0:")
        assert [m["ReadOnly"] for m in options["mounts"]] == [True]
    assert "/tmp" in hardened(1000)["tmpfs"]


def test_without_an_engine_the_error_says_so(package, monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    with pytest.raises(InputError, match=r"container engine cannot do it: (.|\n)*DOCKER_HOST"):
        run_in_containers(package, tmp_path / "root")
