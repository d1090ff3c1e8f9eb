"""The spool: what a stage tells MLflow, as JSON lines on the disk until it has been shipped.

Each stage run has a folder of its own below the spool folder:

=================  =====================================================================
``events.jsonl``   one event a line, appended by the stage; locked as long as it lives
``progress.json``  how far the shipper came (byte offset) and the MLflow run it made
``error.txt``      why the last attempt to ship failed
=================  =====================================================================

A folder that has been shipped is removed. Runs meant for different tracking servers lie in
different spool folders (`destination`), so none is ever sent to the wrong one.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.redact import redact
from components.tracking.pipeline_run import kubeflow_run

Event = dict[str, Any]

EVENTS = "events.jsonl"
METRICS_PER_BATCH = 1000
"""MLflow's limit for one ``log_batch``."""


def tracking_uri() -> str:
    """Where MLflow keeps its runs: ``MLFLOW_TRACKING_URI``, or ``mlflow.db`` right here."""
    return os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"


def root() -> Path:
    """The folder of all spools: ``FOURSTEP_SPOOL``, or ``build/.tracking``.

    In a Kubeflow task, whose root file system is read-only, it is a temporary folder; also if
    the volume that ``FOURSTEP_SPOOL`` lies on cannot be written to.
    """
    given = os.environ.get("FOURSTEP_SPOOL")
    if kubeflow_run() and not (given and is_writable(Path(given))):
        return Path(tempfile.gettempdir(), "fourstep")
    return Path(given or "build/.tracking").absolute()


def is_writable(folder: Path) -> bool:
    """Whether files can be made in the folder; it is made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def server() -> str:
    """The name of the present tracking server's folders."""
    return hashlib.sha256(tracking_uri().encode()).hexdigest()[:12]


def destination(stage: str = "") -> Path:
    """The spool folder of the present tracking server, for a stage of this name.

    A Kubeflow task has one of its own: on a volume that pods share, a lock may say nothing
    about a stage on another node. The task's retry has the same one, and so finds what the
    killed attempt left.
    """
    run = kubeflow_run()
    task = [re.sub(r"[^\w-]", "_", name) for name in (run, stage) if name] if run else []
    return root().joinpath(*task, server())


def destinations() -> list[Path]:
    """Every folder with spools for the present tracking server, those of Kubeflow tasks too."""
    folders = [root() / server(), *sorted(root().glob(f"*/*/{server()}"))]
    return [folder for folder in folders if pending(folder)]


def write_whole(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees all of it or the old file."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    aside.replace(path)


class Writer:
    """The stage's end: appends events; the lock on the file says that the stage lives."""

    def __init__(self, folder: Path) -> None:
        """Create the run's folder; it appears under its name only once it is locked."""
        name = f"{time.time_ns()}-{os.getpid()}"
        hidden = folder / f".{name}"
        hidden.mkdir(parents=True)
        self._file = (hidden / EVENTS).open("a", encoding="utf-8")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self.folder = hidden.rename(folder / name)

    def write(self, event: str, **fields: Any) -> None:
        """Append one event, stamped with the time in milliseconds."""
        line = json.dumps({"event": event, "time": int(time.time() * 1000)} | fields)
        self._file.write(line + "\n")
        self._file.flush()

    def close(self) -> None:
        """Say that nothing more will come."""
        # Unlocked by hand: worker processes forked from the stage may still hold the file.
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self._file.close()


@dataclass
class Batch:
    """Events that are shipped together, and the offset just after the last of them."""

    events: list[Event]
    end: int


class Spool:
    """The shipper's end of one stage run."""

    def __init__(self, folder: Path) -> None:
        """Read how far an earlier shipper came, if one did."""
        self.folder = folder
        progress = folder / "progress.json"
        self.progress: dict[str, Any] = (
            json.loads(progress.read_text()) if progress.exists() else {"offset": 0}
        )

    def writer_is_gone(self) -> bool:
        """Whether the stage has closed its end, or died."""
        with (self.folder / EVENTS).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def batches(self) -> list[Batch]:
        """What has not been shipped yet; metrics that follow one another come as one batch."""
        found: list[Batch] = []
        with (self.folder / EVENTS).open("rb") as file:
            file.seek(self.progress["offset"])
            for line in file:
                if not line.endswith(b"\n"):  # still being written
                    break
                event = json.loads(line)
                end = (found[-1].end if found else self.progress["offset"]) + len(line)
                if found and joins(found[-1], event):
                    found[-1].events.append(event)
                    found[-1].end = end
                else:
                    found.append(Batch([event], end))
        return found

    def advance(self, offset: int) -> None:
        """Record that everything before ``offset`` has been shipped."""
        self.progress["offset"] = offset
        self.save()

    def save(self) -> None:
        """Write the progress to the disk."""
        write_whole(self.folder / "progress.json", self.progress)

    def fail(self, error: BaseException) -> None:
        """Leave a note for the stage that waits, and for the user."""
        (self.folder / "error.txt").write_text(redact(f"{type(error).__name__}: {error}\n"))

    def remove(self) -> None:
        """Everything has been shipped."""
        shutil.rmtree(self.folder)


def joins(batch: Batch, event: Event) -> bool:
    """Whether a metrics event fits into the batch before it."""
    if event["event"] != "metrics" or batch.events[0]["event"] != "metrics":
        return False
    return sum(len(e["values"]) for e in [*batch.events, event]) <= METRICS_PER_BATCH


def pending(folder: Path) -> list[Path]:
    """The folders of runs that have not been shipped, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


@contextmanager
def only_one(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock; false if another shipper has it."""
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
