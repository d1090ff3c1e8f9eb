"""A stage's run in MLflow, as the stage sees it: a writer of events that never waits for long."""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from components.digest import path_digest
from components.tracking import pipeline_run, spool


class Run:
    """One stage run in MLflow. ``Run()`` is a run that records nothing."""

    def __init__(self, writer: spool.Writer | None = None) -> None:
        """A run that writes to a spool, or nowhere."""
        self._writer = writer
        self._began = time.time()
        self._progress: dict[str, Any] = {}

    @property
    def recorded(self) -> bool:
        """Whether tracking is on."""
        return self._writer is not None

    @property
    def mlflow_run_id(self) -> str | None:
        """The run's id in MLflow; None as long as MLflow has not got it."""
        return self._opened().get("run_id")

    @property
    def mlflow_run_url(self) -> str | None:
        """The run's page in MLflow; None as long as MLflow has not got it, or has no pages."""
        return self._opened().get("run_url")

    def _opened(self) -> dict[str, Any]:
        """What the shipper wrote down when it opened the run; empty before."""
        if self._writer and not self._progress:
            found = spool.read_progress(self._writer.folder / "progress.json")
            self._progress = found if "run_id" in found else {}
        return self._progress

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Record numbers at a step (of training, usually)."""
        self._write("metrics", values={k: float(v) for k, v in values.items()}, step=step)

    def artifact(self, path: Path, folder: str = "") -> None:
        """Record a file, or the files of a folder, under ``folder`` in the run's artifacts."""
        if self._writer:
            self._write("artifact", **self._kept(path), folder=folder)

    def tags(self, values: Mapping[str, str]) -> None:
        """Record words about the run."""
        self._write("tags", values={k: str(v) for k, v in values.items()})

    def register(self, model: Path, **facts: Any) -> dict[str, Any] | None:
        """Register an ONNX model (see `registry.register` for the facts it needs).

        Returns:
            The decision: version, alias and reason; None if MLflow did not answer in time. Then
            the model is registered when the spool is shipped.
        """
        if not self._writer:
            return None
        reply = self._writer.folder / "reply.json"
        self._write("register", **self._kept(model), reply=str(reply), **facts)
        deadline = time.monotonic() + wait_s()
        error = self._writer.folder / "error.txt"
        while not reply.exists():
            if time.monotonic() > deadline or error.exists() or self._away():
                return None
            time.sleep(0.1)
        return dict(json.loads(reply.read_text()))

    def end(self, status: str, facts: Mapping[str, Any]) -> None:
        """Say how the stage ended, and wait a while until MLflow has the run."""
        writer = self._writer
        if not writer:
            return
        ended = time.time() - 0.1  # a file's time is a little coarser than the clock's
        # Who asks a stage to stop gives it seconds; the shipper has a process of its own.
        deadline = time.monotonic() + (wait_s() if status != "KILLED" else 0.0)
        error = writer.folder / "error.txt"

        def wait(done: Callable[[], bool]) -> str | None:
            """Wait; the reason if it failed."""
            while not done():
                if error.exists() and error.stat().st_mtime >= ended:
                    return error.read_text().strip()[:160]
                if known := self._away():
                    return known[:160]
                if time.monotonic() >= deadline:
                    return "it takes too long"
                time.sleep(0.05)
            return None

        self._write("end", status=status, **facts)
        # The run's id lies in the spool; the shipper removes the spool only after `close`, so
        # read it first.
        reason = wait(lambda: self.mlflow_run_id is not None or not self.recorded)
        writer.close()
        reason = reason or wait(lambda: not writer.folder.exists())
        if reason:
            say(f"MLflow has not got this run yet ({reason}). {fate(writer.folder)}")

    def _away(self) -> str | None:
        """Why MLflow is away, if it is known to be: then nobody waits for it.

        The stages of a pipeline run tell each other. A pod does not believe an earlier one: when
        it ends, its shipper ends, too.
        """
        if not self._writer:
            return None
        since = self._began if pipeline_run.kubeflow_run() else time.time() - spool.AWAY_S
        return spool.away(self._writer.folder.parent, since)

    def _kept(self, path: Path) -> dict[str, str]:
        """What an event says of a file or folder; it is kept as it is now."""
        assert self._writer
        facts = {"path": str(path.absolute()), "digest": path_digest(path)}
        try:
            return facts | {"kept": self._writer.keep(path)}
        except OSError as error:
            say(f"{path} is not kept for MLflow, only its place: {error}")
            return facts

    def _write(self, event: str, **fields: Any) -> None:
        """Append an event; a full disk ends the tracking, not the training."""
        if self._writer:
            try:
                self._writer.write(event, **fields)
            except OSError as error:
                say(f"off from here on: {error}")
                self._writer = None


def fate(folder: Path) -> str:
    """What becomes of a spool that has not been shipped."""
    if pipeline_run.kubeflow_run() and not os.environ.get("FOURSTEP_SPOOL"):
        return (
            "It is lost with this pod; with FOURSTEP_SPOOL on a volume, the task's retry or "
            "`fourstep track replay` ships it."
        )
    return f"It is kept in {folder}; the next stage or `fourstep track replay` ships it."


def wait_s() -> float:
    """How long a stage waits for MLflow at its end, in seconds."""
    return float(os.environ.get("FOURSTEP_TRACKING_WAIT") or 60)


def say(message: str) -> None:
    """One line for the user."""
    print(f"tracking: {message}", file=sys.stderr)
