"""Following a run to its end, or until it cannot be followed."""

import itertools
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli import submit as command
from components.errors import InputError
from pipelines.submit import watch as watch_module
from tests.pipelines.kfp_server import Fault, Frame, KfpServer
from tests.pipelines.submit.calls import DONE, connection, start, submit, watch


def test_submit_and_watch(kfp: KfpServer, package: Path, capsys: pytest.CaptureFixture) -> None:
    kfp.script = [
        Frame("PENDING"),
        Frame("RUNNING", {"first": "PENDING"}),
        Frame("RUNNING", {"first": "RUNNING"}),
        Frame("RUNNING", {"first": "RUNNING"}),
        Frame("RUNNING", {"first": "SUCCEEDED", "condition-1": "RUNNING", "second": "RUNNING"}),
        Frame("SUCCEEDED", {"first": "SUCCEEDED", "second": "SUCCEEDED"}),
    ]
    assert submit(kfp, package, follow=True) == 0
    lines = capsys.readouterr().out.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("time"))
    table = [line.split(maxsplit=1)[1] for line in lines[begin:-2]]
    assert [" ".join(line.split()) for line in table] == [
        "task state",
        "(run) PENDING",
        "(run) RUNNING",
        "first PENDING",
        "first RUNNING",
        "first SUCCEEDED 1 min 23 s",
        "second RUNNING",
        "second SUCCEEDED 1 min 23 s",
    ]
    assert lines[-2:] == ["run SUCCEEDED (2 SUCCEEDED)", f"{kfp.url}/#/runs/details/run-0"]


@pytest.mark.parametrize(
    ("state", "status"), [("SUCCEEDED", 0), ("FAILED", 1), ("CANCELED", 4), ("SKIPPED", 1)]
)
def test_the_exit_status_is_the_runs(kfp: KfpServer, state: str, status: int) -> None:
    unspecified = Frame("RUNTIME_STATE_UNSPECIFIED")
    kfp.script = [unspecified, Frame("RUNNING"), Frame("PAUSED"), Frame(state)]
    ended, lines = watch(kfp)
    assert ended == status
    assert f"run {state} (2 not run)" in lines
    assert [line.split()[-1] for line in lines[1:-2]] == ["RUNNING", "PAUSED"]


def test_only_the_runs_state_is_shown_without_the_pipelines_version(kfp: KfpServer) -> None:
    start(kfp)
    kfp.versions.clear()
    kfp.script = [Frame("RUNNING", {"first": "RUNNING"}), DONE]
    status, lines = watch(kfp)
    assert status == 0
    assert "version cannot be read" in lines[0]
    assert [line.split()[1:] for line in lines[1:-1]] == [
        ["task", "state"],
        ["(run)", "RUNNING"],
        ["SUCCEEDED"],
    ]


@pytest.mark.parametrize("kind", ["drop", "500", "502", "503", "429"])
def test_a_server_that_is_away_is_waited_for(kfp: KfpServer, kind: str) -> None:
    kfp.script = [Frame("RUNNING"), DONE]
    kfp.faults = [Fault("GET", "/runs/", kind, times=3, after=1)]
    pauses: list[float] = []
    status, lines = watch(kfp, sleep=pauses.append)
    assert status == 0
    assert sum("trying again" in line for line in lines) == 1
    assert sum("answers again" in line for line in lines) == 1
    assert pauses == [0.03, 0.01, 0.02, 0.04]


def test_retry_after_is_kept_to(kfp: KfpServer) -> None:
    kfp.script = [DONE]
    kfp.faults = [
        Fault("GET", "/runs/", "429", headers={"Retry-After": "7"}),
        Fault("GET", "/runs/", "503", headers={"Retry-After": "99999"}),
        Fault("GET", "/runs/", "503", headers={"Retry-After": "soon"}),
    ]
    pauses: list[float] = []
    assert watch(kfp, sleep=pauses.append)[0] == 0
    assert pauses == [7, 300, 0.04]


def test_a_server_that_stays_away(kfp: KfpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "PATIENCE_S", 1.0)
    kfp.faults = [Fault("GET", "/runs/", "503", times=999)]
    status, lines = watch(kfp)
    assert status == 3
    assert lines[-2] == "the run is not watched any more, but it is left as it is"
    assert lines[-1] == f"to watch it again: fourstep watch run-0 --host {kfp.url}"


@pytest.mark.parametrize("kind", ["login", "html", "403"])
def test_a_refusal_while_watching_leaves_the_run(kfp: KfpServer, kind: str) -> None:
    kfp.script = [Frame("RUNNING")]
    kfp.faults = [Fault("GET", "/runs/", kind, times=9, after=1)]
    status, lines = watch(kfp)
    assert status == 3
    assert lines[-1].startswith("to watch it again: fourstep watch run-0")


def test_ctrl_c_leaves_the_run_alive(kfp: KfpServer) -> None:
    kfp.script = [Frame("RUNNING", {"first": "RUNNING"})]

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    status, lines = watch(kfp, sleep=interrupt)
    assert status == 130
    assert lines[-2:] == [
        "stopped watching; the run goes on",
        f"to watch it again: fourstep watch run-0 --host {kfp.url}",
    ]
    assert kfp.posts("") == 0


def test_a_real_ctrl_c(kfp: KfpServer) -> None:
    start(kfp)
    kfp.script = [Frame("RUNNING", {"first": "RUNNING"})]
    code = (
        "import signal, sys; from cli.submit import watch; "
        "from pipelines.submit import Connection; "
        # A shell has what it starts in the background ignore Ctrl-C, and so the tests' processes.
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"sys.exit(watch('run-0', Connection({kfp.url!r})))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        before = list(itertools.takewhile(lambda line: "first" not in line, run.stdout))
        run.send_signal(signal.SIGINT)
        assert "to watch it again: fourstep watch run-0" in run.stdout.read(), before
    assert run.returncode == 130


def test_a_run_that_does_not_exist(kfp: KfpServer, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(InputError, match=r"no run 'run-7'.*run-7 not found"):
        command.watch("run-7", connection(kfp))


def test_a_run_that_is_deleted_while_it_is_watched(kfp: KfpServer) -> None:
    kfp.script = [Frame("RUNNING")]
    with pytest.raises(InputError, match="no run 'run-0' \\(or not any more\\)"):
        watch(kfp, sleep=lambda _: kfp.runs.clear())


def test_watch_a_run_again(kfp: KfpServer, capsys: pytest.CaptureFixture) -> None:
    start(kfp)
    kfp.script = [DONE]
    assert command.watch("run-0", connection(kfp)) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{kfp.url}/#/runs/details/run-0"
