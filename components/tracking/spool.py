"""The spool: what a stage tells MLflow, as JSON lines on the disk until it has been shipped.

Each stage run has a folder of its own below the spool folder:

=================  =====================================================================
``events.jsonl``   one event a line, appended by the stage; locked as long as it lives
``progress.json``  how far the shipper came (byte offset) and the MLflow run it made
``error.txt``      why the last attempt to ship failed
``artifacts/``     what the run's artifacts and its model were when they were recorded
=================  =====================================================================

A folder that has been shipped is removed. ``away.txt`` beside them says that the server was away
at the last attempt: then no stage waits for it at its end (`away`). Runs meant for different
tracking servers lie in different spool folders (`destination`), so none is ever sent to the wrong
one.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from components import locks
from components.redact import redact
from components.tracking.pipeline_run import kubeflow_run

Event = dict[str, Any]

EVENTS = "events.jsonl"
AWAY = "away.txt"
AWAY_S = 600.0
"""How long a server that was away is taken to be away, if nobody has tried since."""
SHIPPED = ".shipped-"
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
    """Write JSON so that a reader sees all of it or the old file, after a power loss too."""
    aside = path.with_name(f".{path.name}.{token_hex(4)}")
    with aside.open("w") as file:
        file.write(json.dumps(value, indent=1, sort_keys=True) + "\n")
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def away(folder: Path, since: float) -> str | None:
    """Why the server of a spool folder was away at the last attempt, if that is no older."""
    note = folder / AWAY
    with suppress(OSError):
        if note.stat().st_mtime >= since:
            return note.read_text().strip()
    return None


class UnreadableError(ValueError):
    """A spool without its beginning, of which nothing can be shipped."""


class Writer:
    """The stage's end: appends events; the lock on the file says that the stage lives."""

    def __init__(self, folder: Path) -> None:
        """Create the run's folder; it appears under its name only once it is locked.

        Raises:
            OSError: the folder cannot be written to, or its volume has no locks.
        """
        name = f"{time.time_ns()}-{token_hex(4)}"
        hidden = folder / f".{name}"
        hidden.mkdir(parents=True)
        self._open = ExitStack()
        if not self._open.enter_context(locks.lock(hidden / EVENTS)):
            shutil.rmtree(hidden)
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK), str(folder))
        self._file = self._open.enter_context((hidden / EVENTS).open("a", encoding="utf-8"))
        self.folder = hidden.rename(folder / name)
        self._kept = 0

    def write(self, event: str, **fields: Any) -> None:
        """Append one event, stamped with the time in milliseconds."""
        line = json.dumps({"event": event, "time": int(time.time() * 1000)} | fields)
        self._file.write(line + "\n")
        self._file.flush()
        if event != "metrics":  # these are many, and a training must not wait for the disk
            os.fsync(self._file.fileno())

    def keep(self, path: Path) -> str:
        """Keep a file or folder as it is now, whatever later runs make of it.

        A file is linked where the file system can: outputs are never changed in place, a new
        one takes the old one's name.

        Returns:
            Where, relative to the run's folder.
        """
        self._kept += 1
        kept = Path("artifacts", str(self._kept), path.name)
        target = self.folder / kept
        target.parent.mkdir(parents=True)
        if path.is_dir():
            shutil.copytree(path, target, copy_function=link_or_copy)
        else:
            link_or_copy(path, target)
        return str(kept)

    def close(self) -> None:
        """Say that nothing more will come."""
        self._open.close()


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """A second name for a file; a copy across file systems, or where links are not allowed."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copyfile(source, target)


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
        self.progress = read_progress(folder / "progress.json")
        self.unreadable = 0

    def writer_is_gone(self) -> bool:
        """Whether the stage has closed its end, or died."""
        return not locks.is_locked(self.folder / EVENTS)

    def batches(self) -> list[Batch]:
        """What has not been shipped yet; metrics that follow one another come as one batch.

        A line that cannot be read, as a power loss leaves it, is counted and left out.
        """
        found: list[Batch] = []
        end, self.unreadable = self.progress["offset"], 0
        with (self.folder / EVENTS).open("rb") as file:
            file.seek(end)
            for line in file:
                event = self.read(line)
                if not line.endswith(b"\n"):  # still being written, or never finished
                    self.unreadable += 1
                    break
                end += len(line)
                if event is None:
                    self.unreadable += 1
                elif found and joins(found[-1], event):
                    found[-1].events.append(event)
                    found[-1].end = end
                else:
                    found.append(Batch([event], end))
        return found

    def read(self, line: bytes) -> Event | None:
        """The event of a line, with what it kept under its whole path; None if it has none."""
        try:
            event = json.loads(line)
        except ValueError:
            return None
        if not isinstance(event, dict) or "event" not in event:
            return None
        if "kept" in event:
            event["kept"] = str(self.folder / event["kept"])
        return event

    def last_word_ms(self) -> int:
        """When the stage last wrote something, in milliseconds."""
        return int((self.folder / EVENTS).stat().st_mtime * 1000)

    def advance(self, offset: int) -> None:
        """Record that everything before ``offset`` has been shipped."""
        self.progress["offset"] = offset
        self.save()

    def save(self) -> None:
        """Write the progress to the disk."""
        write_whole(self.folder / "progress.json", self.progress)

    def fail(self, error: BaseException) -> None:
        """Leave a note for the stage that waits, and for the user."""
        leave_note(self.folder / "error.txt", error)

    def remove(self) -> None:
        """Everything has been shipped.

        The folder first loses its name: half of one would be taken for a run.
        """
        self.folder.rename(self.folder.with_name(SHIPPED + self.folder.name))
        for shipped in self.folder.parent.glob(f"{SHIPPED}*"):
            shutil.rmtree(shipped)


def read_progress(path: Path) -> dict[str, Any]:
    """How far an earlier shipper came; the beginning, if its note is missing or broken.

    To ship a run again from its beginning makes nothing twice (`store`).
    """
    with suppress(OSError, ValueError):
        progress = json.loads(path.read_text())
        if isinstance(progress, dict) and isinstance(progress.get("offset"), int):
            return progress
    return {"offset": 0}


def leave_note(path: Path, error: BaseException) -> None:
    """Write down why something failed, without passwords; on a full disk do without."""
    with suppress(OSError):
        path.write_text(redact(f"{type(error).__name__}: {error}\n"))


def joins(batch: Batch, event: Event) -> bool:
    """Whether a metrics event fits into the batch before it."""
    if event["event"] != "metrics" or batch.events[0]["event"] != "metrics":
        return False
    return sum(len(e["values"]) for e in [*batch.events, event]) <= METRICS_PER_BATCH


def pending(folder: Path) -> list[Path]:
    """The folders of runs that have not been shipped, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(
        p for p in folder.iterdir() if not p.name.startswith(".") and (p / EVENTS).is_file()
    )


@contextmanager
def only_one(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock; false if another shipper has it."""
    with locks.lock(folder / locks.NAME) as ours:
        yield ours is not False
