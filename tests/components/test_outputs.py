"""What killed runs left aside goes, what a living one writes stays."""

import errno
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psutil
import pytest

from components import locks, outputs
from components.contract import Output
from components.outputs import remove_left_over, whole_outputs

CODE = """
import os, sys, time
from multiprocessing import get_context
from pathlib import Path
from components.outputs import whole_outputs
from tests.components.test_outputs import Write
def work():
    print(os.getpid(), flush=True)
    time.sleep(600)
with whole_outputs(Write(out=Path(sys.argv[1]), folder=Path(sys.argv[2]))) as aside:
    aside.out.write_text("half")
    aside.folder.mkdir()
    (aside.folder / "file").write_text("half")
    get_context("fork").Process(target=work).start()
    sys.stdin.read()
"""


@dataclass(frozen=True, kw_only=True)
class Write:
    """A stage with a file and a folder."""

    out: Annotated[Path, Output("Model")]
    folder: Annotated[Path, Output("Artifact")]


@contextmanager
def writing(stage):
    """A process in the midst of writing the stage's outputs, with a worker process."""
    command = [sys.executable, "-c", CODE, str(stage.out), str(stage.folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    worker = int(process.stdout.readline())
    try:
        yield process
    finally:
        process.kill()
        os.kill(worker, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def stage(tmp_path):
    return Write(out=tmp_path / "out", folder=tmp_path / "folder")


def write(stage):
    with whole_outputs(stage) as aside:
        aside.out.write_text("whole")
        aside.folder.mkdir()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_dead_owner_that_nobody_reaps_and_whose_workers_live_owns_nothing(stage, tmp_path):
    with writing(stage) as process:
        assert len(names(tmp_path)) == 2
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
        write(stage)
        assert names(tmp_path) == ["folder", "out"]


def test_a_living_owner_keeps_what_it_writes(stage, tmp_path):
    with writing(stage):
        left = names(tmp_path)
        write(stage)
        assert names(tmp_path) == [*left, "folder", "out"]
        texts = [p.read_text() for p in tmp_path.rglob("*") if p.is_file() and p.name != locks.NAME]
        assert sorted(texts) == ["half", "half", "whole"]


def test_the_number_of_a_living_process_says_nothing(stage, tmp_path):
    """In a pod the next attempt has the same number as the killed one."""
    left = tmp_path / f".out.{os.getpid()}.partial"
    left.mkdir()
    (left / "out").write_text("half")
    write(stage)
    assert names(tmp_path) == ["folder", "out"]


def test_a_folder_that_another_run_removes_before_it_is_locked_is_made_again(
    stage, tmp_path, monkeypatch
):
    plain, taken = locks.lock, []

    def lock(path):
        if not taken:
            taken.append(path)
            remove_left_over(stage.out)
        return plain(path)

    monkeypatch.setattr(outputs.locks, "lock", lock)
    write(stage)
    assert len(taken) == 1
    assert not taken[0].exists()
    assert names(tmp_path) == ["folder", "out"]


def test_without_locks_outputs_are_written_and_what_may_be_in_use_stays(
    stage, tmp_path, monkeypatch
):
    def flock(file, kind):
        raise OSError(errno.ENOLCK, "No locks available")

    left = tmp_path / ".out.0.partial"
    left.mkdir()
    monkeypatch.setattr(locks.fcntl, "flock", flock)
    write(stage)
    assert names(tmp_path) == [left.name, "folder", "out"]
