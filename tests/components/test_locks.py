"""Who is at work is told by a lock, whatever becomes of the process that held it."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import psutil
import pytest

from components import locks
from components.locks import is_locked, lock

HOLD = """
import sys
from pathlib import Path
from components.locks import lock
with lock(Path(sys.argv[1])) as ours:
    print(ours, flush=True)
    sys.stdin.read()
"""
HOLD_WITH_WORKER = """
import multiprocessing, os, sys, time
from pathlib import Path
from components.locks import lock
def work():
    print(os.getpid(), flush=True)
    time.sleep(600)
with lock(Path(sys.argv[1])):
    multiprocessing.get_context("fork").Process(target=work).start()
    sys.stdin.read()
"""


@contextmanager
def running(code, *arguments):
    """A process that has said its first line, and that line."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def left_as_a_zombie(process):
    """Kill a child and take no note of it: it keeps its number."""
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE


def test_another_process_gets_the_lock_when_it_is_given_back(tmp_path):
    path = tmp_path / "lock"
    with lock(path) as ours, running(HOLD, path) as (_, said):
        assert (ours, said) == (True, "False")
        assert is_locked(path)
    assert not is_locked(path)
    with running(HOLD, path) as (_, said):
        assert said == "True"
        with lock(path) as ours:
            assert ours is False


def test_a_killed_process_that_nobody_reaps_holds_nothing(tmp_path):
    path = tmp_path / "lock"
    with running(HOLD, path) as (process, _):
        assert is_locked(path)
        left_as_a_zombie(process)
        assert not is_locked(path)
        with lock(path) as ours:
            assert ours


def test_worker_processes_of_a_killed_process_hold_nothing(tmp_path):
    path = tmp_path / "lock"
    with running(HOLD_WITH_WORKER, path) as (process, worker):
        left_as_a_zombie(process)
        assert psutil.Process(int(worker)).status() != psutil.STATUS_ZOMBIE
        try:
            assert not is_locked(path)
        finally:
            os.kill(int(worker), signal.SIGKILL)


def test_a_file_that_is_removed_while_it_is_waited_for_is_made_anew(tmp_path, monkeypatch):
    """As if its owner had removed it between our opening it and our getting its lock."""
    path, plain, calls = tmp_path / "lock", fcntl.flock, []

    def flock(file, kind):
        if not calls:
            path.unlink()
        calls.append(kind)
        plain(file, kind)

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with lock(path) as ours:
        assert ours
        assert is_locked(path)


def test_a_volume_without_locks_is_told_apart(tmp_path, monkeypatch):
    def flock(file, kind):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with lock(tmp_path / "lock") as ours:
        assert ours is None
    assert is_locked(tmp_path / "lock") is None


def test_what_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), lock(tmp_path / "absent" / "lock"):
        pass
