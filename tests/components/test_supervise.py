"""A stage that supervises its own work: what is started again, what is not, and how it ends."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from components.errors import InputError
from components.supervise import Retries, retries, supervise

STAGE = """
    import os, signal, sys
    from pathlib import Path
    log = Path(sys.argv[1])
    with log.open("a") as file:
        file.write(os.environ["FOURSTEP_RESTARTS"] + os.environ.get("FOURSTEP_RESTART_REASON", ""))
        file.write("\\n")
    starts = len(log.read_text().splitlines())
"""
"""A stage that notes each of its starts; what follows ends it."""


def stage(tmp_path, end):
    """The command of a stage with this end, and the file of its starts."""
    script, log = tmp_path / "stage.py", tmp_path / "starts"
    script.write_text(textwrap.dedent(STAGE) + textwrap.dedent(end))
    return [sys.executable, str(script), str(log)], log


def starts(log):
    return log.read_text().splitlines()


@pytest.fixture
def pauses():
    return []


def test_work_that_was_killed_is_started_again_after_growing_pauses(tmp_path, pauses, capsys):
    command, log = stage(tmp_path, "if starts < 3: os.kill(os.getpid(), signal.SIGKILL)")
    assert supervise("train_rpn", command, Retries(3, 60, 2), pauses.append) == 0
    killed = "was killed by signal 9 (SIGKILL)"
    assert starts(log) == ["0", f"1{killed}", f"2{killed}"]
    assert pauses == [60, 120]
    told = capsys.readouterr().err.splitlines()
    assert told[0] == f"train_rpn: {killed}; starts again in 60 s (restart 1 of 3)"


def test_so_is_work_that_failed_by_an_error_of_its_own(tmp_path, pauses):
    command, log = stage(tmp_path, "if starts < 2: raise RuntimeError('CUDA error')")
    assert supervise("train_rpn", command, Retries(1, 1, 1), pauses.append) == 0
    assert starts(log) == ["0", "1ended with exit status 1"]


def test_it_is_started_again_no_oftener_than_asked(tmp_path, pauses, capsys):
    command, log = stage(tmp_path, "os.kill(os.getpid(), signal.SIGSEGV)")
    assert supervise("train_rpn", command, Retries(2, 1, 1), pauses.append) == 128 + signal.SIGSEGV
    assert len(starts(log)) == 3
    assert "it is not started again after 2 restarts" in capsys.readouterr().err


def test_an_error_that_stays_ends_otherwise_than_a_refusal(tmp_path, pauses):
    """Who sends a failed run again tells them apart by the exit status 1 of a refusal."""
    command, _ = stage(tmp_path, "raise RuntimeError('CUDA error')")
    assert supervise("train_rpn", command, Retries(1, 1, 1), pauses.append) == os.EX_SOFTWARE


def test_input_that_was_refused_is_the_users_to_mend(tmp_path, pauses, capfd):
    refuse = """
        from components.errors import InputError, refusals_said
        with refusals_said("train_rpn"):
            raise InputError("--data /data: no such folder")
    """
    command, log = stage(tmp_path, refuse)
    assert supervise("train_rpn", command, Retries(3, 60, 2), pauses.append) == 1
    assert (len(starts(log)), pauses) == (1, [])
    assert capfd.readouterr().err.splitlines()[-1] == "train_rpn: --data /data: no such folder"


def test_what_the_work_leaves_behind_ends_with_it(tmp_path, pauses):
    """A process of it that lives on would hold the GPU: torchrun's, in a session of its own."""
    leave = """
        import subprocess
        if starts == 1:
            child = subprocess.Popen(["sleep", "600"], start_new_session=True)
            log.with_name("left").write_text(str(child.pid))
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            os.kill(int(log.with_name("left").read_text()), 0)
    """
    command, _log = stage(tmp_path, leave)
    supervise("train_rpn", command, Retries(1, 1, 1), pauses.append)
    left = int((tmp_path / "left").read_text())
    deadline = time.monotonic() + 30
    while is_running(left) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(left)


def is_running(number):
    """Whether a process runs; one that has ended and was not reaped does not."""
    try:
        with open(f"/proc/{number}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


WAITING = """
    def stop(number, frame):
        with log.open("a") as file:
            file.write("stopped\\n")
        sys.exit(143)
    signal.signal(signal.SIGTERM, stop)
    log.with_name("ready").touch()
    while True:
        signal.pause()
"""


def test_a_stop_reaches_the_work_which_is_not_started_again(tmp_path):
    command, log = stage(tmp_path, WAITING)
    supervisor = (
        "import sys; from components.supervise import Retries, supervise; "
        "sys.exit(supervise('train_rpn', sys.argv[1:], Retries(3, 0, 1)))"
    )
    process = subprocess.Popen([sys.executable, "-c", supervisor, *command])
    while not (tmp_path / "ready").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.terminate()
    assert process.wait() == 143
    assert starts(log) == ["0", "stopped"]


@pytest.mark.parametrize("text", ["3", "x 60s 2", "3 60m 2", "3 60s"])
def test_what_is_not_a_count_a_pause_and_a_factor_is_refused(monkeypatch, text):
    monkeypatch.setenv("FOURSTEP_RETRIES", text)
    with pytest.raises(InputError, match=f"FOURSTEP_RETRIES={text}: must be a count"):
        retries()


def test_without_the_variable_nothing_is_started_again(monkeypatch):
    monkeypatch.delenv("FOURSTEP_RETRIES", raising=False)
    assert retries().count == 0
    monkeypatch.setenv("FOURSTEP_RETRIES", "3 60s 2")
    assert retries() == Retries(3, 60, 2)
