"""Tracking from the spool to MLflow, on a database of its own."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import onnx
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from components import tracking
from components.contract import Input, Output
from components.dataset.index import write_index
from components.errors import InputError
from components.outputs import whole_outputs
from components.register_model import RegisterModel
from components.register_model.run import run as run_register_model
from components.tracking import pipeline_run, registry, replay, ship, spool, store, track
from components.tracking.registry import Score, decide
from tests.components.tracked_stages import Prepare, prepare, set_environment, train


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowClient]:
    """A database for this file: to set one up takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    yield store.open_client()
    patch.undo()


@pytest.fixture(autouse=True)
def place(client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment and a spool for each test; no shipper starts by itself."""
    set_environment(monkeypatch, tmp_path / "spool")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(client.tracking_uri))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", tmp_path.name)
    return tmp_path


def runs(client: MlflowClient, place: Path) -> dict[str, Run]:
    """The test's runs by name; of several with one name, the newest."""
    experiment = client.get_experiment_by_name(place.name)
    assert experiment
    found = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    return {run.info.run_name: run for run in found}


def test_a_stage_alone_is_one_run(client: MlflowClient, place: Path) -> None:
    (place / "table").write_text("from elsewhere")
    train(place)
    assert replay() == 0
    (run,) = runs(client, place).values()
    assert (run.info.run_name, run.info.status) == ("train", "FINISHED")
    assert run.data.params == {"lr": "0.1"}
    assert run.data.metrics == {"loss": 0.02, "recall.300": 0.1}
    assert "mlflow.parentRunId" not in run.data.tags
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(i, 0.1 / (i + 1)) for i in range(5)]
    assert [a.path for a in client.list_artifacts(run.info.run_id, "curves")] == [
        "curves/curves.csv"
    ]


def test_stages_of_a_pipeline_run_meet_under_a_parent(
    client: MlflowClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOURSTEP_PIPELINE_RUN", f"{place}-1")
    monkeypatch.setenv("DVC_STAGE", "prepare@all")
    prepare(place)
    monkeypatch.delenv("DVC_STAGE")
    train(place)
    assert replay() == 0
    found = runs(client, place)
    parent = next(r for name, r in found.items() if name.startswith("four-step"))
    assert set(found) == {parent.info.run_name, "prepare@all", "train"}
    for name in ("prepare@all", "train"):
        assert found[name].data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert parent.info.status == "FINISHED"
    assert parent.data.params == {"prepare.all.split": "1", "train.lr": "0.1"}
    assert parent.data.metrics == {"train.loss": 0.02, "train.recall.300": 0.1}


def test_a_parent_is_called_by_the_pipeline_that_its_own_stages_are_of(
    client: MlflowClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """joint/dvc.yaml stands on stages of the four steps' dvc.yaml, which come first."""
    monkeypatch.setenv("FOURSTEP_PIPELINE_RUN", f"{place}-1")
    for stage, name in (("prepare", "four-step"), ("joint/dvc.yaml:prepare", "joint")):
        monkeypatch.setenv("DVC_STAGE", stage)
        prepare(place)
        assert replay() == 0
        (parent,) = (r for n, r in runs(client, place).items() if n != "prepare")
        assert parent.info.run_name.startswith(name)
        assert parent.data.tags["fourstep.pipeline"] == name


def test_a_reused_stage_shows_up_with_a_link(
    client: MlflowClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOURSTEP_PIPELINE_RUN", f"{place}-1")
    prepare(place, split=7)
    train(place)
    replay()
    first = runs(client, place)["prepare"]
    for number in (2, 3):  # the third run's `prepare` was itself reused in the second
        monkeypatch.setenv("FOURSTEP_PIPELINE_RUN", f"{place}-{number}")
        train(place, lr=number / 10)
        replay()
        found = runs(client, place)
        copy, parent = found["prepare"], found["train"].data.tags["mlflow.parentRunId"]
        assert copy.info.run_id != first.info.run_id
        assert copy.info.status == "FINISHED"
        assert copy.data.params == {"split": "7"}
        assert copy.data.tags["mlflow.parentRunId"] == parent
        assert copy.data.tags["fourstep.reused"] == "true"
        assert copy.data.tags["fourstep.reused_run_id"] == first.info.run_id
        assert f"/runs/{first.info.run_id}" in copy.data.tags["mlflow.note.content"]
        params = client.get_run(parent).data.params
        assert params == {"prepare.split": "7", "train.lr": str(number / 10)}


def test_the_whole_chain_before_a_reused_stage_is_reused(
    client: MlflowClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Evaluate:
        model: Annotated[Path, Input("Model")]
        metrics: Annotated[Path, Output("Metrics")]

    def evaluate() -> None:
        stage = Evaluate(model=place / "checkpoint", metrics=place / "evaluation.json")
        with track(stage), whole_outputs(stage) as aside:
            aside.metrics.write_text('{"AP": 0.5}')

    monkeypatch.setenv("FOURSTEP_PIPELINE_RUN", f"{place}-1")
    for stage in (lambda: prepare(place), lambda: train(place), evaluate):
        stage()
    monkeypatch.setenv("FOURSTEP_PIPELINE_RUN", f"{place}-2")
    evaluate()
    replay()
    parent = runs(client, place)["evaluate"].data.tags["mlflow.parentRunId"]
    params = client.get_run(parent).data.params
    assert params == {"prepare.split": "1", "train.lr": "0.1"}


def test_a_failed_stage_fails_the_parent_and_is_never_reused(
    client: MlflowClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOURSTEP_PIPELINE_RUN", f"{place}-1")
    with pytest.raises(InputError), track(Prepare(out=place / "table")):
        raise InputError("box 3 of a.jpg lies outside")
    replay()
    run = runs(client, place)["prepare"]
    assert run.info.status == "FAILED"
    assert "box 3 of a.jpg" in run.data.tags["fourstep.error"]
    assert client.get_run(run.data.tags["mlflow.parentRunId"]).info.status == "FAILED"


def test_a_stage_that_was_killed_ends_as_failed(client: MlflowClient, place: Path) -> None:
    writer = tracking.open_spool(Prepare(out=place / "table"))
    assert writer
    writer.close()  # as the system does when the process dies
    assert replay() == 0
    assert runs(client, place)["prepare"].info.status == "FAILED"


def test_a_given_run_is_resumed_and_a_given_parent_gets_a_nested_run(
    client: MlflowClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = client.create_experiment(place.name)
    given = client.create_run(experiment, run_name="given").info.run_id
    monkeypatch.setenv("FOURSTEP_PARENT_RUN_ID", given)
    prepare(place)
    monkeypatch.setenv("MLFLOW_RUN_ID", given)  # wins
    train(place)
    replay()
    found = runs(client, place)
    assert set(found) == {"given", "prepare"}
    assert found["prepare"].data.tags["mlflow.parentRunId"] == given
    assert found["given"].data.params == {"lr": "0.1", "prepare.split": "1"}


def test_mlflow_away_keeps_the_spool_and_nothing_is_shipped_twice(
    client: MlflowClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "table").write_text("from elsewhere")
    train(place)
    log_artifact = store.log_artifact

    def away(*_: object) -> None:
        raise ConnectionError("connection refused")

    monkeypatch.setattr(store, "log_artifact", away)
    assert replay() == 1
    (folder,) = spool.pending(spool.destination())
    assert "connection refused" in (folder / "error.txt").read_text()
    assert runs(client, place)["train"].info.status == "RUNNING"
    monkeypatch.setattr(store, "log_artifact", log_artifact)
    assert replay() == 0
    (run,) = runs(client, place).values()
    assert run.info.status == "FINISHED"
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 5


def test_a_shipper_killed_before_it_wrote_its_progress_ships_nothing_twice(
    client: MlflowClient, place: Path
) -> None:
    (place / "table").write_text("from elsewhere")
    train(place)
    (folder,) = spool.pending(spool.destination())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool.Spool, "remove", lambda self: None)
        shipper = ship.Shipper(folder.parent, 0.0)
        assert shipper.turn(shipper.waiting())
    (folder / "progress.json").unlink()
    assert replay() == 0
    (run,) = runs(client, place).values()
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 5


def test_what_mlflow_refuses_does_not_hold_up_the_rest(
    client: MlflowClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOURSTEP_PARENT_RUN_ID", "0" * 32)
    prepare(place)  # below a parent that does not exist: stays
    monkeypatch.delenv("FOURSTEP_PARENT_RUN_ID")
    train(place)
    (place / "curves.csv").write_text("overwritten by a later run")  # is not uploaded
    assert replay() == 1
    (run,) = runs(client, place).values()
    assert (run.info.run_name, run.info.status) == ("train", "FINISHED")
    assert client.list_artifacts(run.info.run_id) == []


def test_a_living_stage_is_shipped_as_it_goes(
    client: MlflowClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = tracking.open_spool(Prepare(out=place / "table"))
    assert writer
    writer.write("metrics", values={"loss": 1.0}, step=0)
    shipper = ship.Shipper(writer.folder.parent, 0.0)
    assert shipper.turn(shipper.waiting())
    assert runs(client, place)["prepare"].data.metrics == {"loss": 1.0}
    writer.write("metrics", values={"loss": 0.5}, step=1)
    assert shipper.turn(shipper.waiting())  # waits for more
    assert runs(client, place)["prepare"].data.metrics == {"loss": 1.0}
    writer.close()


def test_the_shipper_starts_by_itself(
    client: MlflowClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.delenv("FOURSTEP_TRACKING", raising=False)
    monkeypatch.setenv("FOURSTEP_TRACKING_WAIT", "300")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(client.tracking_uri))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", place.name)
    monkeypatch.setenv("FOURSTEP_SPOOL", str(place / "spool"))
    prepare(place)
    assert runs(client, place)["prepare"].info.status == "FINISHED"
    assert spool.pending(spool.destination()) == []


def test_a_parent_learns_its_data_set_from_the_stages(
    client: MlflowClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass(frozen=True, kw_only=True)
    class ValidateData:
        data: Annotated[Path, Input("Dataset")]
        index: Annotated[Path, Output("Dataset")]

    monkeypatch.setenv("FOURSTEP_PIPELINE_RUN", str(place))
    monkeypatch.setattr(pipeline_run, "git_tags", lambda: {"mlflow.source.git.commit": "c" * 40})
    (place / "photos").mkdir()
    stage = ValidateData(data=place / "photos", index=place / "index")
    with track(stage), whole_outputs(stage) as aside:
        version = write_index(aside.index, [], ["cell"], "coco").digest
    assert replay() == 0
    run = runs(client, place)["validate_data"]
    assert run.data.tags["fourstep.data_version"] == version
    parent = client.get_run(run.data.tags["mlflow.parentRunId"])
    assert parent.info.run_name == f"four-step {version[:8]} ccccccc"
    assert parent.inputs
    (data,) = parent.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("photos", version[:36])
    assert json.loads(data.dataset.source) == {"uri": str(place / "photos")}


def test_decide() -> None:
    new = Score("shared.AP", 0.5, "data1")
    assert decide(new, None) == (True, "shared.AP 0.5000: there was no champion")
    wins, reason = decide(new, Score("shared.AP", 0.5, "data1"))
    assert wins
    assert reason == "shared.AP 0.5000 >= the champion's 0.5000 on the same data"
    assert not decide(new, Score("shared.AP", 0.51, "data1"))[0]
    wins, reason = decide(new, Score("shared.AP", 0.1, "data2"))
    assert not wins
    assert "not comparable" in reason
    assert not decide(new, Score("shared.AP50", 0.1, "data1"))[0]


def tiny_model(path: Path) -> None:
    """An ONNX model that returns its input, with a dynamic batch."""
    value = onnx.helper.make_tensor_value_info
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["images"], ["boxes"])],
        "tiny",
        [value("images", kind, ["batch", 3])],
        [value("boxes", kind, ["batch", 3])],
    )
    onnx.save(onnx.helper.make_model(graph), path)


@pytest.fixture
def register(
    place: Path, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Run register_model for a given AP and data version."""
    tiny_model(place / "model.onnx")
    (place / "validation.json").write_text('{"passed": 1}')

    def run(value: float, classes: list[str]) -> None:
        write_index(place / "index", [], classes, "coco")
        (place / "evaluation.json").write_text(json.dumps({"shared": {"AP": value}}))
        stage = RegisterModel(
            model=place / "model.onnx",
            evaluation=place / "evaluation.json",
            validation=place / "validation.json",
            index=place / "index",
            metrics=place / "metrics.json",
            scratch=place / "scratch",
            model_name=place.name,
        )
        with track(stage) as opened, whole_outputs(stage) as aside:
            run_register_model(aside, opened)
        replay()

    return run


def test_registry_over_four_models(
    client: MlflowClient, place: Path, register: Callable[..., None], capsys: Any
) -> None:
    def champion() -> str:
        return str(client.get_model_version_by_alias(place.name, "champion").version)

    def candidate() -> Any:
        return client.get_model_version_by_alias(place.name, "candidate")

    register(0.5, ["cell"])
    assert "MLflow is away" in capsys.readouterr().out  # there is no shipper in this test
    assert (champion(), str(candidate().version)) == ("1", "1")
    register(0.4, ["cell"])
    assert (champion(), str(candidate().version)) == ("1", "2")
    assert candidate().description == "shared.AP 0.4000 < the champion's 0.5000 on the same data"
    register(0.9, ["cell", "platelet"])
    assert (champion(), str(candidate().version)) == ("1", "3")
    assert "not comparable" in candidate().tags["reason"]
    register(0.5, ["cell"])
    assert (champion(), str(candidate().version)) == ("4", "4")
    run = client.get_run(candidate().run_id)
    assert run.info.run_name == "register_model"
    assert run.data.tags["fourstep.registered"] == f"{place.name} 4: candidate, champion"


def test_registered_model_has_signature_and_loads(
    client: MlflowClient, place: Path, register: Callable[..., None]
) -> None:
    import mlflow

    register(0.5, ["cell"])
    info = mlflow.models.get_model_info(f"models:/{place.name}@champion")
    assert info.signature is not None
    (images,) = info.signature.inputs.inputs
    assert (images.name, images.shape, images.type.name) == ("images", (-1, 3), "float32")
    assert mlflow.onnx.load_model(f"models:/{place.name}@champion").graph.name == "tiny"


def test_a_model_is_registered_without_onnxruntime(
    client: MlflowClient,
    place: Path,
    register: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def find_spec(name: str) -> None:
        if name in sys.modules:
            raise ValueError(f"{name}.__spec__ is None")

    monkeypatch.setattr(registry, "find_spec", find_spec)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # so that it is as before in the end
    del sys.modules["onnxruntime"]
    for version in ("1", "2"):  # by one process
        register(0.5, ["cell"])
        assert not hasattr(sys.modules["onnxruntime"], "InferenceSession")
        assert str(client.get_model_version_by_alias(place.name, "champion").version) == version


def test_the_reply_reaches_the_waiting_stage(
    client: MlflowClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = tracking.open_spool(Prepare(out=place / "table"))
    assert writer
    spool.write_whole(writer.folder / "reply.json", {"version": "1"})
    (place / "model").write_text("m")
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("it waits"))
    assert tracking.Run(writer).register(place / "model") == {"version": "1"}
    writer.close()


def test_a_changed_model_is_not_registered(client: MlflowClient, place: Path) -> None:
    (place / "model").write_text("another")
    event: spool.Event = {
        "path": str(place / "model"),
        "digest": "0",
        "reply": str(place / "reply"),
    }
    event |= {"model_name": place.name, "metric": "AP", "value": 1.0, "data_version": "1"}
    with pytest.raises(ValueError, match="has changed"):
        registry.register(client, "0" * 32, event)
