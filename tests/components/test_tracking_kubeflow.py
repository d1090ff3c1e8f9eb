"""Tracking of stages that are Kubeflow tasks, each in a pod of its own, on a tracking server."""

import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from components import tracking
from components.errors import InputError
from components.tracking import parent, replay, ship, spool, track
from components.tracking.runs import search as find_run
from tests.components.kubeflow_pods import Plugin, named, parents, runs
from tests.components.tracked_stages import Prepare, prepare, train
from tests.components.tracking_server import wait_until


def test_parent_and_nested_runs_lead_to_kubeflow(
    pod: Callable[..., None], client: MlflowClient, tmp_path: Path
) -> None:
    prepare(tmp_path)
    pod("train_1", FOURSTEP_KFP_UI="https://other.example.org")  # the first word stays
    train(tmp_path)
    assert replay() == 0
    (top,) = parents(client, tmp_path)
    key = top.data.tags["fourstep.kfp_run_id"]
    url = f"https://kubeflow.example.org/pipeline/#/runs/details/{key}"
    assert top.data.tags["fourstep.pipeline_run"] == key
    assert top.data.tags["fourstep.kfp_run_url"] == url
    assert f"({url})" in top.data.tags["mlflow.note.content"]
    assert top.data.tags["fourstep.engine"] == "kubeflow"
    for name in ("prepare", "train_1"):
        (run,) = named(client, tmp_path, name)
        assert run.data.tags["mlflow.parentRunId"] == top.info.run_id
        assert run.data.tags["fourstep.kfp_pod"] == f"pod-{name}"
        assert "fourstep.restarts" not in run.data.tags
    assert top.info.status == "FINISHED"
    assert top.data.params == {"prepare.split": "1", "train_1.lr": "0.1"}
    (run,) = named(client, tmp_path, "train_1")
    assert [a.path for a in client.list_artifacts(run.info.run_id, "curves")] == [
        "curves/curves.csv"
    ]


def test_first_stages_at_the_same_time_agree_on_one_experiment_and_one_parent(
    pod: Callable[..., None],
    client: MlflowClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three pods at the worst moments, with clocks that differ.

    `fast` and `slow` both find no experiment and no parent. `fast` makes one. Only then does
    `slow` make another, which looks older. Between the two, `third` finds that of `fast`.
    """
    folders = {}
    for name, time_ms in (("fast", 3000), ("slow", 1000), ("third", 2000)):
        pod(name)
        prepare(tmp_path)
        (folders[name],) = (f for f in spool.destinations() if f.parent.name == name)
        (one,) = spool.pending(folders[name])
        lines = [json.loads(line) for line in (one / spool.EVENTS).read_text().splitlines()]
        text = "".join(json.dumps(line | {"time": time_ms}) + "\n" for line in lines)
        (one / spool.EVENTS).write_text(text)

    both, third_has_seen = threading.Barrier(2, timeout=600), threading.Event()
    slow_has_made = threading.Event()
    find_parent, find_experiment = find_run, MlflowClient.get_experiment_by_name

    def search(client: MlflowClient, experiment: str, tags: dict[str, str]) -> Run | None:
        found = find_parent(client, experiment, tags)
        me = threading.current_thread().name
        if me == "third":
            third_has_seen.set()
        elif found is None:
            both.wait()
            if me == "slow":
                assert third_has_seen.wait(600)
        return found

    def get_experiment(self: MlflowClient, name: str) -> Any:
        found = find_experiment(self, name)
        if found is None and threading.current_thread().name != "third":
            both.wait()
        return found

    def settle(seconds: float) -> None:
        if threading.current_thread().name == "slow":
            slow_has_made.set()
        assert slow_has_made.wait(600)

    monkeypatch.setattr(parent, "time", SimpleNamespace(sleep=settle))
    monkeypatch.setattr("components.tracking.parent.search", search)
    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", get_experiment)

    def deliver(name: str) -> bool:
        threading.current_thread().name = name
        if name == "third":
            wait_until(lambda: find_experiment(client, tmp_path.name))
            wait_until(parents_made)
        shipper = ship.Shipper(folders[name], 0.0)
        return shipper.turn(shipper.waiting()) and not shipper.waiting()

    def parents_made() -> list[Run]:
        experiment = find_experiment(client, tmp_path.name)
        return client.search_runs([experiment.experiment_id])  # type: ignore[union-attr]

    with ThreadPoolExecutor(3) as pods:
        assert list(pods.map(deliver, folders)) == [True, True, True]
    monkeypatch.undo()
    (top,) = parents(client, tmp_path)
    assert top.info.start_time == 1000
    (lost,) = runs(client, tmp_path, ViewType.DELETED_ONLY)  # so there was a race
    assert lost.info.start_time == 3000
    for name in folders:
        (run,) = named(client, tmp_path, name)
        assert run.data.tags["mlflow.parentRunId"] == top.info.run_id
    assert top.info.status == "FINISHED"


def test_a_stage_reused_by_two_at_once_is_brought_once(
    pod: Callable[..., None],
    client: MlflowClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepare(tmp_path)
    assert replay() == 0
    for name in ("left", "right"):
        pod(name, FOURSTEP_PIPELINE_RUN="next")
        train(tmp_path)
    both = threading.Barrier(2, timeout=600)
    create = MlflowClient.create_run

    def create_run(self: MlflowClient, *arguments: Any, **more: Any) -> Run:
        if more.get("run_name") == "prepare":  # a copy
            both.wait()
        return create(self, *arguments, **more)

    monkeypatch.setattr(parent, "SETTLE_S", 5.0)  # of a busy machine
    monkeypatch.setattr(MlflowClient, "create_run", create_run)
    with ThreadPoolExecutor(2) as pods:
        folders = [f for f in spool.destinations() if spool.pending(f)]
        assert list(pods.map(replay, folders)) == [0, 0]
    original, copy = named(client, tmp_path, "prepare")
    assert copy.data.tags["fourstep.reused_run_id"] == original.info.run_id
    assert copy.info.status == "FINISHED"
    assert copy.data.params == {"split": "1"}


def test_the_parent_goes_on_while_a_stage_does_and_stays_failed(
    pod: Callable[..., None], client: MlflowClient, tmp_path: Path
) -> None:
    pod("slow")
    writer = tracking.open_spool(Prepare(out=tmp_path / "table"))
    assert writer
    shipper = ship.Shipper(writer.folder.parent, 0.0)
    assert shipper.turn(shipper.waiting())
    pod("bad")
    with pytest.raises(InputError), track(Prepare(out=tmp_path / "table")):
        raise InputError("no")
    replay(spool.destination("bad"))
    assert named(client, tmp_path, "bad")[0].info.status == "FAILED"
    assert parents(client, tmp_path)[0].info.status == "RUNNING"
    writer.write("end", status="FINISHED")
    writer.close()
    replay(writer.folder.parent)
    assert named(client, tmp_path, "slow")[0].info.status == "FINISHED"
    assert parents(client, tmp_path)[0].info.status == "FAILED"
    pod("bad")
    prepare(tmp_path)  # a retry
    assert replay() == 0
    assert parents(client, tmp_path)[0].info.status == "FINISHED"


def test_kubeflows_plugin_opens_and_ends_its_runs_itself(
    pod: Callable[..., None], client: MlflowClient, plugin: Plugin, tmp_path: Path
) -> None:
    task = plugin.task("prepare-task")
    pod("prepare", MLFLOW_RUN_ID=task, MLFLOW_EXPERIMENT_ID=plugin.experiment)
    prepare(tmp_path)
    assert replay() == 0
    assert (plugin.status(task), plugin.status(plugin.parent)) == ("RUNNING", "RUNNING")
    client.log_param(task, "split", "1")  # the launcher's part
    plugin.end(task)
    task = plugin.task("train-task")
    client.log_param(task, "lr", "other")  # somebody was there before us
    pod("train_1", MLFLOW_RUN_ID=task, MLFLOW_EXPERIMENT_ID=plugin.experiment)
    client.set_terminated(plugin.parent, "KILLED")  # the user ends the pipeline run
    client.set_terminated(task, "FAILED")
    train(tmp_path)
    assert replay() == 0
    assert (plugin.status(task), plugin.status(plugin.parent)) == ("FAILED", "KILLED")
    run, top = client.get_run(task), client.get_run(plugin.parent)
    assert run.data.params == {"lr": "other"}
    assert run.data.metrics == {"loss": 0.02, "recall.300": 0.1}
    assert run.data.tags["fourstep.stage"] == "train"
    assert top.data.params == {"prepare.split": "1", "train_1.lr": "other"}
    assert top.data.metrics == {"train_1.loss": 0.02, "train_1.recall.300": 0.1}
    assert "/#/runs/details/" in top.data.tags["fourstep.kfp_run_url"]
    names = {r.info.run_name for r in client.search_runs([plugin.experiment])}
    assert names == {"prepare-task", "train-task", top.info.run_name}
    assert client.get_experiment_by_name(tmp_path.name) is None


def test_a_retry_in_a_run_of_the_plugins_forgets_the_error(
    pod: Callable[..., None], client: MlflowClient, plugin: Plugin, tmp_path: Path
) -> None:
    task = plugin.task("prepare-task")
    pod("prepare", MLFLOW_RUN_ID=task)
    with pytest.raises(InputError), track(Prepare(out=tmp_path / "table")):
        raise InputError("no")
    assert replay() == 0
    assert client.get_run(task).data.tags["fourstep.error"] == "InputError: no"
    prepare(tmp_path)
    assert replay() == 0
    assert "fourstep.error" not in client.get_run(task).data.tags


@pytest.mark.parametrize("plugins", [True, False])
def test_one_run_given_to_all_stages_is_their_parent(
    pod: Callable[..., None], client: MlflowClient, plugin: Plugin, tmp_path: Path, plugins: bool
) -> None:
    given = plugin.parent if plugins else client.create_run(plugin.experiment).info.run_id
    pod("prepare", MLFLOW_RUN_ID=given)
    prepare(tmp_path)
    pod("train_1", MLFLOW_RUN_ID=given)
    train(tmp_path)
    shutil.rmtree(spool.destination("prepare"))  # was not shipped: is not there to be reused
    assert replay() == 0
    pod("train_2", MLFLOW_RUN_ID=given)
    train(tmp_path, lr=0.2)
    assert replay() == 0
    found = client.search_runs([plugin.experiment], f"tags.mlflow.parentRunId = '{given}'")
    assert {r.info.run_name: r.data.params for r in found} == {
        "train_1": {"lr": "0.1"},
        "train_2": {"lr": "0.2"},
    }
    assert {r.info.status for r in found} == {"FINISHED"}
    top = client.get_run(given)
    assert top.data.params == {"train_1.lr": "0.1", "train_2.lr": "0.2"}
    assert top.info.status == ("RUNNING" if plugins else "FINISHED")


def test_a_given_experiment_goes_before_the_name(
    pod: Callable[..., None], client: MlflowClient, tmp_path: Path
) -> None:
    given = client.create_experiment(f"{tmp_path.name}-given")
    pod("prepare", MLFLOW_EXPERIMENT_ID=given)
    prepare(tmp_path)
    assert replay() == 0
    assert {r.info.run_name.split()[0] for r in client.search_runs([given])} == {
        "four-step",
        "prepare",
    }


def test_a_stage_knows_its_run_when_it_has_ended(
    pod: Callable[..., None],
    client: MlflowClient,
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a shipper that is as fast as can be: it is there before the stage's last word."""
    pod("prepare", FOURSTEP_TRACKING_WAIT="120")
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            for folder in spool.destinations():
                shipper = ship.Shipper(folder, 0.0)
                shipper.turn(shipper.waiting())

    eager = threading.Thread(target=serve)
    eager.start()
    try:
        found = [prepare(tmp_path, split=i) for i in range(5)]
    finally:
        stop.set()
        eager.join()
    attempts = named(client, tmp_path, "prepare")
    assert [run.mlflow_run_id for run in found] == [r.info.run_id for r in attempts]
    last = attempts[-1].info
    assert found[-1].mlflow_run_url == (
        f"{server}/#/experiments/{last.experiment_id}/runs/{last.run_id}"
        "?workflowType=machine_learning"
    )
    assert spool.pending(spool.destination("prepare")) == []


def test_an_address_with_a_password_works_and_the_password_is_nowhere(
    pod: Callable[..., None], client: MlflowClient, server: str, tmp_path: Path, capfd: Any
) -> None:
    pod(
        "prepare",
        MLFLOW_TRACKING_URI=server.replace("://", "://me:hush@"),
        MLFLOW_WORKSPACE="",
        FOURSTEP_TRACKING_WAIT="120",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracking, "start_shipper", start_shipper)
        run = prepare(tmp_path)
    assert run.mlflow_run_url
    assert run.mlflow_run_url.startswith(server)
    for each in runs(client, tmp_path):
        assert "hush" not in json.dumps(each.to_dictionary())
    with socket.socket() as listening:  # takes connections, gives no answers
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        stop = threading.Thread(target=hang_up, args=(listening,), daemon=True)
        stop.start()
        port = listening.getsockname()[1]
        pod("prepare", MLFLOW_TRACKING_URI=f"http://me:hush@127.0.0.1:{port}")
        prepare(tmp_path)
        folder = spool.destination("prepare")
        command = [sys.executable, "-m", "components.tracking.ship", str(folder), "0"]
        assert subprocess.run(command, check=False).returncode == 1
    (left,) = spool.pending(folder)
    words = [(left / "error.txt").read_text(), (folder / "ship.log").read_text()]
    assert f"API request to http://127.0.0.1:{port}" in words[0]
    assert "Traceback" in words[1]
    assert not any("hush" in text for text in [*words, *capfd.readouterr()])


def hang_up(listening: socket.socket) -> None:
    """Take connections and close them."""
    while True:
        try:
            listening.accept()[0].close()
        except OSError:
            return


start_shipper = tracking.start_shipper
