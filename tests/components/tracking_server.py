"""A real MLflow tracking server for the tests."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen


@contextmanager
def tracking_server(folder: Path) -> Iterator[str]:
    """The address of a server on a database of its own, which serves artifacts, too."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = f"-m mlflow server --host 127.0.0.1 --port {port} --workers 1 --serve-artifacts"
    stores = [f"--backend-store-uri=sqlite:///{folder}/db", f"--artifacts-destination={folder}/a"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *command.split(), *stores],
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )
        try:
            wait_until(lambda: answers(port), lambda: (folder / "log").read_text())
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # it takes its time when asked
            process.wait()


def answers(port: int) -> bool:
    """Whether a tracking server is up."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def wait_until(condition: Callable[[], Any], why: Callable[[], str] = str) -> None:
    """Wait for something that happens elsewhere."""
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline, why()
        time.sleep(0.02)
