"""A stage that is started again, in its pod or in a new one: MLflow has one run of it.

In both ways: below a parent of our own, and in the runs that Kubeflow's MLflow plugin makes.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Run

from components import tracking
from components.contract import Input, Output
from components.outputs import whole_outputs
from components.tracking import replay, ship, spool, track
from tests.components.kubeflow_pods import Plugin, named, parents, runs
from tests.components.tracked_stages import Prepare, Train, prepare, train
from tests.components.tracking_server import wait_until

start_shipper = tracking.start_shipper


class Way:
    """A pipeline run on Kubeflow: its pods, and the runs in MLflow that it leads to."""

    def __init__(
        self, pod: Callable[..., None], client: MlflowClient, place: Path, plugin: Plugin | None
    ) -> None:
        self.pod, self.client, self.place, self.plugin = pod, client, place, plugin
        self.tasks: dict[str, str] = {}

    def start(self, stage: str, **more: str) -> None:
        """A pod of a task starts, the first or another one: its driver ran only once."""
        given = {}
        if self.plugin:
            if stage not in self.tasks:
                self.tasks[stage] = self.plugin.task(stage.replace("_", "-"))
            given = self.plugin.environment(self.tasks[stage])
        self.pod(stage, **given, **{"FOURSTEP_RESTARTS": "0", "FOURSTEP_RESTART_REASON": ""} | more)

    def end(self, stage: str, status: str = "FINISHED") -> None:
        """The launcher's part, at the end of a pod."""
        if self.plugin:
            self.plugin.end(self.tasks[stage], status)

    def nested(self) -> list[Run]:
        """The runs of stages, oldest first."""
        if self.plugin:
            return self.plugin.nested()
        return [r for r in runs(self.client, self.place) if "fourstep.name" in r.data.tags]

    def top(self) -> Run:
        """The run of the whole pipeline run."""
        if self.plugin:
            return self.client.get_run(self.plugin.parent)
        (top,) = parents(self.client, self.place)
        return top

    def points(self, run: Run, metric: str) -> list[tuple[int, float]]:
        """All that MLflow draws of a metric: step and value."""
        history = self.client.get_metric_history(run.info.run_id, metric)
        return sorted((m.step, m.value) for m in history)


@pytest.fixture(params=["own", "plugin"])
def way(
    request: pytest.FixtureRequest,
    pod: Callable[..., None],
    client: MlflowClient,
    plugin: Plugin,
    tmp_path: Path,
) -> Way:
    """A pipeline run, with and without Kubeflow's MLflow plugin."""
    (tmp_path / "table").write_text("from elsewhere")
    return Way(pod, client, tmp_path, plugin if request.param == "plugin" else None)


def stage(place: Path) -> Train:
    """The stage of these tests."""
    return Train(
        table=place / "table",
        checkpoint=place / "checkpoint",
        metrics=place / "metrics.json",
        curves=place / "curves.csv",
    )


def begin(place: Path, steps: Iterable[int], offset: float = 0.0) -> spool.Writer:
    """An attempt that is at work, and has got so far."""
    writer = tracking.open_spool(stage(place))
    assert writer
    for step in steps:
        writer.write("metrics", values={"loss": step + offset}, step=step)
    return writer


def die(place: Path, steps: Iterable[int]) -> None:
    """An attempt that is killed: the system closes its files."""
    begin(place, steps).close()


def fail(place: Path, steps: Iterable[int]) -> None:
    """An attempt that ends in an error."""

    def work(run: tracking.Run) -> None:
        for step in steps:
            run.metrics({"loss": step}, step=step)
        raise ZeroDivisionError("no")

    with pytest.raises(ZeroDivisionError), track(stage(place)) as run:
        work(run)


def finish(place: Path, steps: Iterable[int], offset: float = 0.0, recall: float = 0.5) -> None:
    """An attempt that does the work to its end."""
    made = stage(place)
    with track(made) as run, whole_outputs(made) as aside:
        for step in steps:
            run.metrics({"loss": step + offset}, step=step)
        aside.checkpoint.write_text("weights")
        aside.metrics.write_text(json.dumps({"recall": recall}))
        aside.curves.write_text("step,loss\n")


def turn(folder: Path) -> None:
    """What a living shipper does again and again."""
    shipper = ship.Shipper(folder, 0.0)
    assert shipper.turn(shipper.waiting())


def test_mlflow_keeps_and_draws_both_values_of_a_step(client: MlflowClient, tmp_path: Path) -> None:
    """Why steps that are told again are left out: later ones do not replace earlier ones."""
    run = client.create_run(client.create_experiment(tmp_path.name)).info.run_id
    for when in (1, 2, 2):
        client.log_batch(run, metrics=[Metric("loss", 1.0, when, 7)])
    assert [m.step for m in client.get_metric_history(run, "loss")] == [7, 7]


def test_a_task_that_is_retried_after_its_work_was_done_has_one_run(way: Way) -> None:
    way.start("train_1")
    finish(way.place, range(1, 4))
    assert replay() == 0
    way.end("train_1", "FAILED")  # of what comes after the work
    way.start("train_1", KFP_POD_NAME="pod-2")
    finish(way.place, range(1, 4))
    assert replay() == 0
    way.end("train_1")
    (run,) = way.nested()
    assert run.info.status == "FINISHED"
    assert run.data.tags["fourstep.kfp_pod"] == "pod-2"
    assert run.data.tags["fourstep.restarts"] == "1"
    assert run.data.tags["fourstep.restart_reason"] == "unknown"
    assert way.points(run, "loss") == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert way.points(run, "recall") == [(0, 0.5)]
    top = way.top()
    assert top.data.metrics == {"train_1.loss": 3.0, "train_1.recall": 0.5}
    assert all(len(way.points(top, name)) == 1 for name in top.data.metrics)
    assert top.info.status == ("RUNNING" if way.plugin else "FINISHED")


def test_a_training_started_again_in_its_pod_goes_on_in_its_run(way: Way) -> None:
    """The dead attempt's spool is not shipped yet when the next one is at work."""
    way.start("train_1")
    die(way.place, range(1, 6))
    why = "was killed by signal 9 (SIGKILL)"
    way.start("train_1", FOURSTEP_RESTARTS="1", FOURSTEP_RESTART_REASON=why)
    finish(way.place, range(4, 9), offset=0.25)  # as another GPU's sums may differ
    assert len(spool.pending(spool.destination("train_1"))) == 2
    assert replay() == 0
    (run,) = way.nested()
    told = [(step, step + (0.25 if step > 5 else 0.0)) for step in range(1, 9)]
    assert way.points(run, "loss") == told
    assert run.data.tags["fourstep.restarts"] == "1"
    assert run.data.tags["fourstep.restart_reason"] == why
    assert run.info.status == ("RUNNING" if way.plugin else "FINISHED")
    assert way.top().data.metrics["train_1.loss"] == 8.25


def test_a_run_is_reopened_while_its_stage_is_at_work_again(way: Way) -> None:
    way.start("train_1")
    fail(way.place, [])
    assert replay() == 0
    way.end("train_1", "FAILED")
    (run,) = way.nested()
    assert (run.info.status, "no" in run.data.tags["fourstep.error"]) == ("FAILED", True)
    way.start("train_1", KFP_POD_NAME="pod-2")
    writer = begin(way.place, [1])
    turn(writer.folder.parent)
    (run,) = way.nested()
    assert run.info.status == way.top().info.status == "RUNNING"
    assert "fourstep.error" not in run.data.tags
    assert run.data.tags["fourstep.restart_reason"] == "ZeroDivisionError: no"
    writer.close()


def test_starts_in_a_pod_and_in_new_pods_are_counted_once_each(way: Way) -> None:
    for place, restarts in (("pod-1", 0), ("pod-1", 1), ("pod-2", 0), ("pod-2", 1)):
        way.start("train_1", KFP_POD_NAME=place, FOURSTEP_RESTARTS=str(restarts))
        writer = begin(way.place, [1])
        turn(writer.folder.parent)
        (writer.folder / "progress.json").unlink()  # the shipper is killed before it noted this
        turn(writer.folder.parent)
        writer.close()
    (run,) = way.nested()
    assert run.data.tags["fourstep.restarts"] == "3"
    assert way.points(run, "loss") == [(1, 1.0)]


def test_restarts_are_known_if_all_that_was_told_before_is_lost(way: Way) -> None:
    way.start("train_1", FOURSTEP_RESTARTS="2", FOURSTEP_RESTART_REASON="ended with exit status 1")
    finish(way.place, [1])
    assert replay() == 0
    (run,) = way.nested()
    assert run.data.tags["fourstep.restarts"] == "2"
    assert run.data.tags["fourstep.restart_reason"] == "ended with exit status 1"


def test_a_late_spool_adds_what_is_missing_and_says_nothing_else(way: Way) -> None:
    """A pod's spool lies on another volume, and is shipped while its retry is at work."""
    elsewhere = {"FOURSTEP_SPOOL": str(way.place / "other")}
    way.start("train_1", KFP_POD_NAME="pod-1", **elsewhere)
    fail(way.place, range(1, 6))
    way.start("train_1", KFP_POD_NAME="pod-2")
    writer = begin(way.place, range(4, 9))
    turn(writer.folder.parent)
    way.start("train_1", **elsewhere)
    assert replay() == 0
    (run,) = way.nested()
    assert run.info.status == way.top().info.status == "RUNNING"
    assert run.data.tags["fourstep.kfp_pod"] == "pod-2"
    assert "fourstep.error" not in run.data.tags
    assert way.points(run, "loss") == [(step, step) for step in range(1, 9)]
    writer.close()


@pytest.mark.parametrize("recall", [0.4, 0.6])
def test_of_a_number_of_the_whole_stage_the_last_attempts_value_counts(
    way: Way, recall: float
) -> None:
    for value in (0.5, recall):
        way.start("train_1")
        finish(way.place, [1], recall=value)
        assert replay() == 0
    (run,) = way.nested()
    assert run.data.metrics["recall"] == recall
    assert way.top().data.metrics["train_1.recall"] == recall


WORK = """
import os, signal, sys
from pathlib import Path
from components.outputs import whole_outputs
from components.tracking import track
from tests.components.test_tracking_restarts import stage

made = stage(Path(sys.argv[1]))
steps = range(int(sys.argv[2]), int(sys.argv[3]))
with track(made) as run, whole_outputs(made) as aside:
    for step in steps:
        run.metrics({"loss": step}, step=step)
    if os.environ["FOURSTEP_RESTARTS"] == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    aside.checkpoint.write_text("weights")
    aside.metrics.write_text("{}")
    aside.curves.write_text("step,loss")
"""


def test_the_shipper_of_a_killed_attempt_ships_the_next_one_too(way: Way) -> None:
    """With real processes: one shipper has the pod's spools, and nobody replays anything."""
    for restarts, first, last in ((0, 1, 6), (1, 4, 9)):
        way.start("train_1", FOURSTEP_RESTARTS=str(restarts), FOURSTEP_TRACKING_WAIT="120")
        command = [sys.executable, "-c", WORK, str(way.place), str(first), str(last)]
        status = subprocess.run(command, check=False, process_group=0).returncode
        assert status == (-signal.SIGKILL if restarts == 0 else 0)
    folder = spool.destination("train_1")
    wait_until(lambda: not spool.pending(folder), (folder / "ship.log").read_text)
    (run,) = way.nested()
    assert way.points(run, "loss") == [(step, step) for step in range(1, 9)]
    assert run.data.tags["fourstep.restarts"] == "1"
    assert run.info.status == ("RUNNING" if way.plugin else "FINISHED")


def test_what_a_stage_that_died_has_left_is_shipped_before_its_pod_ends(
    way: Way, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracking, "start_shipper", start_shipper)
    tracking.settle("train")  # nothing is left
    way.start("train_1", FOURSTEP_TRACKING_WAIT="120")
    with monkeypatch.context() as patch:
        patch.setattr(tracking, "start_shipper", lambda folder, linger: None)
        die(way.place, [1])
    tracking.settle("train")
    (run,) = way.nested()
    assert run.data.metrics == {"loss": 1.0}
    assert run.info.status == ("RUNNING" if way.plugin else "FAILED")
    assert capsys.readouterr().err == ""


def test_who_waits_for_what_a_stage_has_left_does_not_wait_for_a_server_that_is_away(
    pod: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "table").write_text("from elsewhere")
    pod("train_1", MLFLOW_TRACKING_URI="http://127.0.0.1:9", FOURSTEP_TRACKING_WAIT="600")
    die(tmp_path, [1])
    monkeypatch.setattr(tracking, "start_shipper", start_shipper)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    tracking.settle("train")
    assert "MLflow has not got all of train" in capsys.readouterr().err


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """A stage that measures two networks."""

    checkpoint: Annotated[Path, Input("Model")]
    metrics: Annotated[Path, Output("Metrics")]


def evaluate(place: Path, ap: float) -> None:
    """Run the stage evaluate."""
    shared = {"AP": ap, "AP50": 0.8, "AP75": 0.3, "APs": 0.1, "class": {"cell": {"AP": 0.2}}}
    made = Evaluate(checkpoint=place / "checkpoint", metrics=place / "evaluation.json")
    with track(made), whole_outputs(made) as aside:
        aside.metrics.write_text(json.dumps({"shared": shared, "unshared": {"AP": 0.7}}))


def test_the_headline_is_on_the_parent(way: Way) -> None:
    for ap in (0.5, 0.4):  # the second time after a retry
        way.start("train_1")
        finish(way.place, [1])
        way.start("evaluate")
        evaluate(way.place, ap)
        assert replay() == 0
    top = way.top().data.metrics
    assert {k: v for k, v in top.items() if "." not in k} == {"AP": 0.4, "AP50": 0.8, "AP75": 0.3}
    assert top["evaluate.shared.AP"] == 0.4
    assert top["evaluate.unshared.AP"] == 0.7
    assert top["evaluate.shared.class.cell.AP"] == 0.2


def test_tasks_from_the_cache_fill_the_runs_that_the_plugin_made_for_them(
    pod: Callable[..., None], client: MlflowClient, plugin: Plugin, tmp_path: Path
) -> None:
    """Their headline is on the parent, too, under the names that it has in any other run."""
    first = Way(pod, client, tmp_path, plugin)
    for name, work in (
        ("prepare_1", lambda: prepare(tmp_path, split=7)),
        ("train_1", lambda: train(tmp_path)),
        ("evaluate", lambda: evaluate(tmp_path, 0.5)),
    ):
        first.start(name)
        work()
        assert replay() == 0
        first.end(name)
    second = Way(pod, client, tmp_path, Plugin.start(client, f"{tmp_path.name}-kfp", "y"))
    assert second.plugin
    for name in ("prepare-1", "train-1", "evaluate"):
        second.plugin.end(second.plugin.task(name), "FINISHED", {"loss": 0.02}, {"train": {}})
    second.start("export")
    reads_evaluation(tmp_path)
    assert replay() == 0
    below = {run.info.run_name: run for run in second.nested()}
    assert list(below) == ["prepare-1", "train-1", "evaluate", "export"]
    assert len(second.nested()) == len(below)
    for name, run in below.items():
        assert ("fourstep.reused_run_id" in run.data.tags) == (name != "export")
    assert below["prepare-1"].data.params["split"] == "7"
    assert below["train-1"].data.metrics == {"loss": 0.02, "recall.300": 0.1}
    one, two = first.top().data, second.top().data
    assert one.metrics["AP"] == two.metrics["AP"] == 0.5
    assert one.metrics == two.metrics
    assert one.params == two.params


def reads_evaluation(place: Path) -> None:
    """Run a stage after evaluate."""

    @dataclass(frozen=True, kw_only=True)
    class Export:
        evaluation: Annotated[Path, Input("Metrics")]

    with track(Export(evaluation=place / "evaluation.json")):
        pass


def test_a_stage_whose_end_mlflow_has_not_got_yet_is_not_brought_from_elsewhere(
    pod: Callable[..., None], client: MlflowClient, tmp_path: Path
) -> None:
    pod("prepare", FOURSTEP_PIPELINE_RUN="before")
    prepare(tmp_path)
    assert replay() == 0
    pod("prepare", FOURSTEP_PIPELINE_RUN="now")
    writer = tracking.open_spool(Prepare(out=tmp_path / "table"))
    assert writer
    turn(writer.folder.parent)
    pod("train_1", FOURSTEP_PIPELINE_RUN="now")
    train(tmp_path)
    assert replay(spool.destination("train_1")) == 0
    assert len(named(client, tmp_path, "prepare")) == 2
    writer.close()


def test_the_same_key_with_other_parameters_is_another_run(
    pod: Callable[..., None], client: MlflowClient, tmp_path: Path
) -> None:
    for split in (1, 2, 1):
        prepare(tmp_path, split=split)
    assert replay() == 0
    found: list[Any] = [r.data.params["split"] for r in named(client, tmp_path, "prepare")]
    assert found == ["1", "2"]
