"""Tracking up to the disk: what a stage writes down, without MLflow."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

from components import tracking
from components.contract import Input, Output, Scratch
from components.digest import path_digest
from components.errors import InputError
from components.metrics import read_metrics
from components.outputs import whole_outputs
from components.redact import redact
from components.termination import Terminated
from components.tracking import Run, pipeline_run, ship, spool, track
from tests.components.tracked_stages import set_environment

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, "abc"


@dataclass(frozen=True, kw_only=True)
class Solver:
    """A group of parameters."""

    lr: float = 0.1


@dataclass(frozen=True, kw_only=True)
class FakeStage:
    """A stage for these tests."""

    data: Annotated[Path, Input("Dataset")]
    weights: Annotated[Path, Input("Model")]
    metrics: Annotated[Path, Output("Metrics")]
    page: Annotated[Path, Output("HTML")]
    scratch: Annotated[Path | None, Scratch()] = None
    solver: Solver = Solver()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStage:
    """A stage whose spool lies in tmp_path, with no shipper and no waiting."""
    set_environment(monkeypatch, tmp_path / "spool")
    (tmp_path / "data").mkdir()
    (tmp_path / "weights").write_text("abc")
    return FakeStage(
        data=tmp_path / "data",
        weights=tmp_path / "weights",
        metrics=tmp_path / "out" / "metrics.json",
        page=tmp_path / "out" / "page.html",
    )


def events() -> list[spool.Event]:
    """All events of the only spool."""
    (folder,) = spool.pending(spool.destination())
    return [json.loads(line) for line in (folder / spool.EVENTS).read_text().splitlines()]


def test_a_run_without_a_spool_records_nothing(tmp_path: Path) -> None:
    run = Run()
    run.metrics({"loss": 1.0}, step=3)
    run.artifact(tmp_path / "absent")
    run.tags({"a": "b"})
    assert run.register(tmp_path / "absent") is None
    assert not run.recorded


def test_events_of_a_finished_stage(stage: FakeStage) -> None:
    with track(stage) as run, whole_outputs(stage) as aside:
        run.metrics({"loss": 1}, step=7)
        aside.metrics.write_text('{"shared": {"AP": 0.5}, "images": 4}')
        aside.page.write_text("abc")
    start, loss, measured, page, end = events()
    assert start["name"] == start["stage"] == "fake_stage"
    assert start["parameters"] == {"solver.lr": "0.1"}
    assert start["inputs"] == {"weights": ABC}  # the index stands for the data
    assert start["pipeline_run"] is None
    assert (loss["values"], loss["step"]) == ({"loss": 1.0}, 7)
    assert measured["values"] == {"shared.AP": 0.5, "images": 4.0}
    assert (page["path"], page["folder"], page["digest"]) == (str(stage.page), "page", ABC)
    assert end["status"] == "FINISHED"
    assert end["outputs"] == {"metrics": path_digest(stage.metrics), "page": ABC}


@pytest.mark.parametrize(
    ("error", "status"),
    [(InputError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (Terminated(), "KILLED")],
)
def test_a_failed_stage_is_recorded_and_its_error_goes_on(
    stage: FakeStage, error: BaseException, status: str
) -> None:
    with pytest.raises(type(error)), track(stage):
        raise error
    *_, tags, end = events()
    assert tags["values"]["fourstep.error"] == f"{type(error).__name__}: {error}"
    assert (end["event"], end["status"]) == ("end", status)


def test_a_stage_that_is_asked_to_stop_does_not_wait_for_mlflow(
    stage: FakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOURSTEP_TRACKING_WAIT", "60")
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("it waits"))
    with pytest.raises(Terminated), track(stage):
        raise Terminated
    assert events()[-1]["status"] == "KILLED"


def test_an_unshipped_spool_is_named_to_the_user(
    stage: FakeStage, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError), track(stage):
        raise InputError("no")
    said = capsys.readouterr().err
    assert str(spool.destination()) in said
    assert "fourstep track replay" in said


def test_a_server_that_is_away_is_found_out_before_mlflow_is_imported(
    stage: FakeStage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr(ship, "getproxies", dict)
    with pytest.raises(InputError), track(stage):
        raise InputError("no")
    capsys.readouterr()
    assert tracking.replay() == 1
    (folder,) = spool.pending(spool.destination())
    assert "ConnectionRefusedError" in (folder / "error.txt").read_text()
    with pytest.raises(InputError), track(stage):
        raise InputError("again")
    assert tracking.replay() == 2


def test_tracking_off_says_so_and_changes_nothing_else(
    stage: FakeStage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FOURSTEP_TRACKING", "off")
    with track(stage) as run:
        run.metrics({"loss": 1.0})
    assert capsys.readouterr().err == "tracking: off (FOURSTEP_TRACKING=off)\n"
    assert spool.pending(spool.destination()) == []


def test_without_mlflow_tracking_is_off(
    stage: FakeStage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with track(stage) as run:
        assert not run.recorded
    assert "mlflow is not installed" in capsys.readouterr().err


def test_a_full_disk_ends_the_tracking_only(
    stage: FakeStage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with track(stage) as run:
        monkeypatch.setattr(spool.Writer, "write", full)
        run.metrics({"loss": 1.0})
        assert not run.recorded
    assert "No space left" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_a_disk_that_is_really_full_ends_the_tracking_only(
    stage: FakeStage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = os.fdopen(os.open("/dev/full", os.O_WRONLY), "w")
    with track(stage) as run, whole_outputs(stage) as aside:
        assert run._writer
        monkeypatch.setattr(run._writer, "_file", full)
        run.metrics({"loss": 1.0})
        assert not run.recorded
        run.metrics({"loss": 0.5})
        aside.metrics.write_text("{}")
        aside.page.write_text("abc")
    assert stage.page.exists()
    assert capsys.readouterr().err.count("No space left") == 1


def test_importing_tracking_is_light() -> None:
    heavy = "{'mlflow', 'numpy', 'torch', 'psutil', 'pyarrow'}"
    code = f"import sys, components.tracking; print({heavy} & set(sys.modules))"
    path = str(Path(tracking.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert done.stdout.strip() == "set()"


def test_metrics_that_follow_one_another_are_one_batch_up_to_the_limit(tmp_path: Path) -> None:
    writer = spool.Writer(tmp_path)
    writer.write("start")
    for step in range(3):
        writer.write("metrics", values={str(i): 0.0 for i in range(400)}, step=step)
    writer.write("tags", values={})
    batches = spool.Spool(writer.folder).batches()
    assert [[e["event"] for e in b.events] for b in batches] == [
        ["start"],
        ["metrics", "metrics"],
        ["metrics"],
        ["tags"],
    ]


def test_a_spool_goes_on_where_it_was_left(tmp_path: Path) -> None:
    writer = spool.Writer(tmp_path)
    writer.write("start")
    first = spool.Spool(writer.folder)
    first.advance(first.batches()[0].end)
    writer.write("end")
    again = spool.Spool(writer.folder)
    assert [b.events[0]["event"] for b in again.batches()] == ["end"]
    again.advance(again.batches()[-1].end)
    assert spool.Spool(writer.folder).batches() == []


def test_half_a_line_is_left_for_later(tmp_path: Path) -> None:
    writer = spool.Writer(tmp_path)
    writer.write("start")
    with (writer.folder / spool.EVENTS).open("a") as file:
        file.write('{"event": "ta')
    assert len(spool.Spool(writer.folder).batches()) == 1


@pytest.mark.parametrize("broken", ["", "\0" * 64, '{"offset": 1', "[]", '{"offset": null}'])
def test_a_broken_note_of_progress_means_from_the_beginning(tmp_path: Path, broken: str) -> None:
    writer = spool.Writer(tmp_path)
    writer.write("start")
    (writer.folder / "progress.json").write_text(broken)
    assert len(spool.Spool(writer.folder).batches()) == 1
    assert Run(writer).mlflow_run_id is None


def test_lines_that_a_power_loss_has_broken_are_counted_and_left_out(tmp_path: Path) -> None:
    writer = spool.Writer(tmp_path)
    writer.write("start")
    with (writer.folder / spool.EVENTS).open("ab") as file:
        file.write(b"\0\0\0\n\xff\n3\n")
    writer.write("end")
    with (writer.folder / spool.EVENTS).open("ab") as file:
        file.write(b'{"event": "en')
    reader = spool.Spool(writer.folder)
    batches = reader.batches()
    assert [b.events[0]["event"] for b in batches] == ["start", "end"]
    assert reader.unreadable == 4
    reader.advance(batches[-1].end)
    assert spool.Spool(writer.folder).batches() == []


def test_a_spool_half_removed_is_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = spool.Writer(tmp_path), spool.Writer(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(spool.shutil, "rmtree", lambda path: pytest.fail("killed here"))
        with pytest.raises(pytest.fail.Exception):
            spool.Spool(first.folder).remove()
    assert spool.pending(tmp_path) == [second.folder]
    spool.Spool(second.folder).remove()
    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_outlives_the_next_output(tmp_path: Path) -> None:
    writer = spool.Writer(tmp_path / "spool")
    (tmp_path / "pages").mkdir()
    for path in (tmp_path / "page", tmp_path / "pages" / "one"):
        path.write_text("old")
    kept = [writer.folder / writer.keep(tmp_path / name) for name in ("page", "pages")]
    for path in (tmp_path / "page", tmp_path / "pages" / "one"):
        path.unlink()
        path.write_text("new")
    assert [path.name for path in kept] == ["page", "pages"]
    assert [kept[0].read_text(), (kept[1] / "one").read_text()] == ["old", "old"]


def test_an_artifact_that_cannot_be_kept_is_recorded_by_its_place(
    stage: FakeStage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with track(stage) as run, whole_outputs(stage) as aside:
        monkeypatch.setattr(spool.os, "link", full)
        monkeypatch.setattr(spool.shutil, "copyfile", full)
        aside.metrics.write_text("{}")
        aside.page.write_text("abc")
    assert run.recorded
    (page,) = (e for e in events() if e["event"] == "artifact")
    assert page["path"] == str(stage.page)
    assert "kept" not in page
    assert "is not kept for MLflow, only its place" in capsys.readouterr().err


def test_the_lock_tells_whether_the_writer_lives(tmp_path: Path) -> None:
    writer = spool.Writer(tmp_path)
    reader = spool.Spool(writer.folder)
    assert not reader.writer_is_gone()
    writer.close()
    assert reader.writer_is_gone()


def test_the_worker_processes_of_a_killed_writer_do_not_count(tmp_path: Path) -> None:
    code = (
        "import os, sys, time\n"
        "from multiprocessing import get_context\n"
        "from pathlib import Path\n"
        "from components.tracking import spool\n"
        "def work():\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(600)\n"
        "writer = spool.Writer(Path(sys.argv[1]))\n"
        "get_context('fork').Process(target=work).start()\n"
        "sys.stdin.read()\n"
    )
    command, pipe = [sys.executable, "-c", code, str(tmp_path)], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        assert process.stdout
        worker = int(process.stdout.readline())
        (folder,) = spool.pending(tmp_path)
        assert not spool.Spool(folder).writer_is_gone()
        process.kill()
        process.wait()
    assert spool.Spool(folder).writer_is_gone()
    os.kill(worker, signal.SIGKILL)


def test_one_shipper_a_folder(tmp_path: Path) -> None:
    with spool.only_one(tmp_path) as first, spool.only_one(tmp_path) as second:
        assert (first, second) == (True, False)
    with spool.only_one(tmp_path) as later:
        assert later


def test_each_server_has_its_own_spools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://one")
    one = spool.destination()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://two")
    assert spool.destination() != one


@pytest.mark.parametrize("missing", ["mlflow.db's folder", "sqlalchemy"])
def test_no_database_in_a_container(
    stage: FakeStage,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    missing: str,
) -> None:
    if missing == "sqlalchemy":  # as with mlflow-skinny
        monkeypatch.setattr(tracking, "find_spec", lambda name: name != "sqlalchemy" or None)
    else:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with track(stage) as run:
        assert not run.recorded
        assert run.mlflow_run_id is None
    assert capsys.readouterr().err == "tracking: off (MLFLOW_TRACKING_URI is not set)\n"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert tracking.open_spool(stage)


def test_a_kubeflow_task_has_a_spool_folder_of_its_own(
    stage: FakeStage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("FOURSTEP_PIPELINE_RUN", "kfp-1")
    for name in ("train@1", "evaluate"):
        monkeypatch.setenv("FOURSTEP_STAGE", name)
        assert tracking.open_spool(stage)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    assert tracking.open_spool(stage)  # by DVC, say
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://other")
    assert tracking.open_spool(stage)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    found = [str(f.relative_to(tmp_path / "spool")) for f in spool.destinations()]
    server = spool.server()
    assert found == [server, f"kfp-1/evaluate/{server}", f"kfp-1/train_1/{server}"]
    monkeypatch.setattr(ship, "getproxies", dict)
    assert tracking.replay() == 3


def test_a_volume_that_cannot_be_written_to_is_no_reason_to_record_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "volume").write_text("no folder")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("FOURSTEP_PIPELINE_RUN", "run-7")
    monkeypatch.setenv("FOURSTEP_SPOOL", str(tmp_path / "volume" / ".tracking"))
    monkeypatch.setattr(spool.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    assert spool.destination("train_rpn").is_relative_to(tmp_path / "tmp" / "fourstep")


def test_a_spool_that_goes_with_its_pod_is_said_to_be_lost(
    stage: FakeStage,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("FOURSTEP_SPOOL")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("FOURSTEP_PIPELINE_RUN", "kfp-1")
    with pytest.raises(InputError), track(stage):
        raise InputError("no")
    assert "lost with this pod; with FOURSTEP_SPOOL on a volume" in capsys.readouterr().err
    assert spool.root() == tmp_path / "fourstep"


def test_passwords_are_left_out() -> None:
    address = "x http://me:p@ss@host:1/a, postgresql://me:hush@db/b and me@example.org"
    assert redact(address) == "x http://host:1/a, postgresql://db/b and me@example.org"


def test_digest_of_a_file_and_a_folder(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_text("abc")
    (tmp_path / "a").write_text("abc")
    assert path_digest(tmp_path / "a") == ABC
    before = path_digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "z")
    assert path_digest(tmp_path) != before
    (tmp_path / "z").rename(tmp_path / "a")
    assert path_digest(tmp_path) == before


def test_read_metrics_keeps_numbers_only(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text('{"a": {"b": 1, "c": [1, 2]}, "ok": true, "name": "x", "n": NaN}')
    found = read_metrics(path)
    assert found.pop("n") != 0.0
    assert found == {"a.b": 1.0, "ok": 1.0}


@pytest.mark.parametrize("text", ["[1]", "no", ""])
def test_read_metrics_names_a_bad_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"metrics\.json: not a metrics file"):
        read_metrics(path)


def test_a_given_key_names_the_pipeline_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOURSTEP_PIPELINE_RUN", "workflow-7")
    assert pipeline_run.pipeline_run() == "workflow-7"


def test_stages_of_one_dvc_process_find_the_same_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOURSTEP_PIPELINE_RUN", raising=False)
    code = "from components.tracking.pipeline_run import pipeline_run; print(pipeline_run())"
    shell = f'"{sys.executable}" -c "{code}" & wait'  # DVC, too, puts a shell in between
    path = str(Path(tracking.__file__).parents[2])
    environment = os.environ | {"DVC_STAGE": "train@0", "PYTHONPATH": path}
    keys = {
        subprocess.run(
            ["sh", "-c", shell], env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()
        for _ in range(2)
    }
    (key,) = keys
    boot = Path("/proc/sys/kernel/random/boot_id")
    assert f"-{os.getpid()}-{boot.read_text()[:8] if boot.exists() else ''}" in key


def test_no_pipeline_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOURSTEP_PIPELINE_RUN", raising=False)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    assert pipeline_run.pipeline_run() is None


def test_git_tags_outside_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert pipeline_run.git_tags() == {}


def test_git_tags_name_commit_and_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("a")
    (tmp_path / "dvc.lock").write_text("a")
    who = ["-c", "user.name=n", "-c", "user.email=e@x"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "one"]):
        subprocess.run(["git", *command], check=True)
    (tmp_path / "dvc.lock").write_text("written by dvc repro")
    tags = pipeline_run.git_tags()
    assert len(tags["mlflow.source.git.commit"]) == 40
    assert tags["fourstep.git_dirty"] == "false"
    (tmp_path / "file").write_text("b")
    assert pipeline_run.git_tags()["fourstep.git_dirty"] == "true"
