"""MLflow tracking that training never waits for.

A stage appends what it has to tell to a file (`spool`). A second process (`ship`) sends it to
MLflow. The stage never imports mlflow, and if the server is away the spool stays on the disk
until the next contact or ``fourstep track replay``.

==========================  ====================================================================
``MLFLOW_TRACKING_URI``     default ``sqlite:///mlflow.db``; off without it on Kubeflow
``MLFLOW_EXPERIMENT_NAME``  default ``fourstep``
``MLFLOW_EXPERIMENT_ID``    goes before the name
``MLFLOW_RUN_ID``           resume this run instead of making one; but in a pipeline run, a run
                            without a parent is taken for the parent of all stages
``FOURSTEP_PARENT_RUN_ID``  make the run below this one
``FOURSTEP_PIPELINE_RUN``   a key: runs with the same key share a parent (found for DVC)
``FOURSTEP_KFP_UI``         where Kubeflow's pages are, for the parent's link to its Kubeflow run
``FOURSTEP_GIT_COMMIT``     the code's commit, where there is no git
``FOURSTEP_STAGE``          the run's name (default: DVC's stage, or the component's name)
``FOURSTEP_TRACKING``       ``off`` switches tracking off
``FOURSTEP_TRACKING_WAIT``  how long a stage waits at its end to be shipped, seconds (60)
``FOURSTEP_SPOOL``          default ``build/.tracking``; on Kubeflow a temporary folder, lost with
                            the pod
==========================  ====================================================================
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from components.errors import InputError
from components.tracking import pipeline_run, spool
from components.tracking.redact import redact

LINGER = "20"
"""Seconds for which the shipper of a pipeline run waits for the next stage: it needs 10 s to
start, most stages less than 20 s between them."""


class Run:
    """One stage run in MLflow. ``Run()`` is a run that records nothing."""

    def __init__(self, writer: spool.Writer | None = None) -> None:
        """A run that writes to a spool, or nowhere."""
        self._writer = writer
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
            with suppress(OSError):
                self._progress = json.loads((self._writer.folder / "progress.json").read_text())
        return self._progress

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Record numbers at a step (of training, usually)."""
        self._write("metrics", values={k: float(v) for k, v in values.items()}, step=step)

    def artifact(self, path: Path, folder: str = "") -> None:
        """Record a file, or the files of a folder, under ``folder`` in the run's artifacts."""
        if self._writer:
            from components.digest import path_digest

            self._write(
                "artifact", path=str(path.absolute()), digest=path_digest(path), folder=folder
            )

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
        from components.digest import path_digest

        reply = self._writer.folder / "reply.json"
        path = str(model.absolute())
        self._write("register", path=path, digest=path_digest(model), reply=str(reply), **facts)
        deadline = time.monotonic() + wait_s()
        error = self._writer.folder / "error.txt"
        while not reply.exists():
            if time.monotonic() > deadline or error.exists():
                return None
            time.sleep(0.1)
        return dict(json.loads(reply.read_text()))

    def _write(self, event: str, **fields: Any) -> None:
        """Append an event; a full disk ends the tracking, not the training."""
        if self._writer:
            try:
                self._writer.write(event, **fields)
            except OSError as error:
                say(f"off from here on: {error}")
                self._writer = None


@contextmanager
def track(stage: Any) -> Iterator[Run]:
    """Record a stage: parameters, inputs, duration, outputs, and how it ended.

    When the body has ended normally, the outputs are expected under their final names.
    """
    writer = open_spool(stage)
    run = Run(writer)
    try:
        yield run
    except BaseException as error:
        status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
        run.tags({"fourstep.error": redact(f"{type(error).__name__}: {error}")[:1000]})
        finish(run, status, {})
        raise
    finish(run, "FINISHED", record_outputs(stage, run) if writer else {})


def open_spool(stage: Any) -> spool.Writer | None:
    """Start a spool with the stage's first event, and a shipper for it; None if tracking is off."""
    if reason := reason_off():
        say(f"off ({reason})")
        return None
    try:
        event = start_event(stage)
        writer = spool.Writer(spool.destination(event["name"]))
        writer.write("start", **event)
        linger = bool(event["pipeline_run"]) and event["engine"] != "kubeflow"
        start_shipper(writer.folder.parent, linger=linger)
    except OSError as error:
        say(f"off ({error})")
        return None
    return writer


def reason_off() -> str | None:
    """Why nothing is tracked; None if something is.

    A database in a container would vanish with it, and mlflow-skinny has no databases.
    """
    if os.environ.get("FOURSTEP_TRACKING", "").lower() == "off":
        return "FOURSTEP_TRACKING=off"
    if find_spec("mlflow") is None:
        return "mlflow is not installed"
    vanishes = pipeline_run.engine() == "kubeflow" or find_spec("sqlalchemy") is None
    if vanishes and not os.environ.get("MLFLOW_TRACKING_URI"):
        return "MLFLOW_TRACKING_URI is not set"
    return None


def start_event(stage: Any) -> dict[str, Any]:
    """Everything known about a stage run at its start."""
    from components.contract import Input, parameters, paths, stage_name

    name = os.environ.get("FOURSTEP_STAGE") or os.environ.get("DVC_STAGE") or stage_name(stage)
    return {
        "name": name,
        "stage": stage_name(stage),
        "experiment": os.environ.get("MLFLOW_EXPERIMENT_NAME") or "fourstep",
        "experiment_id": os.environ.get("MLFLOW_EXPERIMENT_ID"),
        "run_id": os.environ.get("MLFLOW_RUN_ID"),
        "parent_run_id": os.environ.get("FOURSTEP_PARENT_RUN_ID"),
        "pipeline_run": pipeline_run.pipeline_run(),
        "engine": pipeline_run.engine(),
        "kubeflow": pipeline_run.kubeflow_tags(),
        "pod": pipeline_run.pod_tags(),
        "git": pipeline_run.git_tags(),
        "parameters": {k: str(v) for k, v in parameters(stage).items()},
        "inputs": digests(paths(stage, Input)),
        "data_version": data_version(paths(stage, Input)),
        "data_path": str(stage.data.absolute()) if "data" in paths(stage, Input) else None,
    }


def record_outputs(stage: Any, run: Run) -> dict[str, Any]:
    """Record metrics, curves and pages of a finished stage; returns what its end event holds."""
    from components.contract import Output, paths, roles
    from components.metrics import read_metrics

    outputs, kinds = paths(stage, Output), roles(stage)
    for name, path in outputs.items():
        kind = kinds[name].kind  # type: ignore[union-attr]
        if kind == "Metrics":
            with suppress(InputError):
                run.metrics(read_metrics(path))
        elif kind in ("HTML", "Plot"):
            run.artifact(path, name)
    return {"outputs": digests(outputs), "data_version": data_version(outputs)}


def digests(named: Mapping[str, Path]) -> dict[str, str]:
    """The digest of each path; not of the raw data set, for which the index stands."""
    from components.digest import path_digest

    return {
        name: path_digest(path) for name, path in named.items() if name != "data" and path.exists()
    }


def data_version(named: Mapping[str, Path]) -> str | None:
    """The digest of the data set, if one of the paths is its index."""
    if "index" not in named:
        return None
    from components.dataset.index import read_index

    with suppress(InputError, OSError):
        return read_index(named["index"]).digest
    return None


def finish(run: Run, status: str, facts: Mapping[str, Any]) -> None:
    """End the run and wait a while until it has been shipped."""
    writer = run._writer
    if not writer:
        return
    ended = time.time() - 0.1  # a file's time is a little coarser than the clock's
    deadline = time.monotonic() + wait_s()
    error = writer.folder / "error.txt"

    def wait(done: Callable[[], bool]) -> str | None:
        """Why it was in vain; None if it was not."""
        while not done():
            if error.exists() and error.stat().st_mtime >= ended:
                return error.read_text().strip()[:160]
            if time.monotonic() > deadline:
                return "it takes too long"
            time.sleep(0.05)
        return None

    run._write("end", status=status, **facts)
    # The shipper leaves an open spool alone, and so the run's id in it, until it has been read.
    reason = wait(lambda: run.mlflow_run_id is not None or not run.recorded)
    writer.close()
    reason = reason or wait(lambda: not writer.folder.exists())
    if reason:
        say(f"MLflow has not got this run yet ({reason}). {fate(writer.folder)}")


def fate(folder: Path) -> str:
    """What becomes of a spool that has not been shipped."""
    if pipeline_run.kubeflow_run() and not os.environ.get("FOURSTEP_SPOOL"):
        return (
            "It is lost with this pod; with FOURSTEP_SPOOL on a volume, the task's retry or "
            "`fourstep track replay` ships it."
        )
    return f"It is kept in {folder}; the next stage or `fourstep track replay` ships it."


def start_shipper(folder: Path, *, linger: bool) -> None:
    """Start a process that ships what is in the folder; it ends at once if one is at work.

    It has its own session and no terminal, so that it outlives a stage that is killed and
    holds no pipe open.
    """
    here = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    seconds = os.environ.get("FOURSTEP_TRACKING_LINGER", LINGER) if linger else "0"
    with (folder / "ship.log").open("a") as log:
        subprocess.Popen(
            [sys.executable, "-m", "components.tracking.ship", str(folder), seconds],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": path},
        )


def wait_s() -> float:
    """How long a stage waits for MLflow at its end, in seconds."""
    return float(os.environ.get("FOURSTEP_TRACKING_WAIT") or 60)


def say(message: str) -> None:
    """One line for the user."""
    print(f"tracking: {message}", file=sys.stderr)


def replay(folder: Path | None = None) -> int:
    """Ship what earlier stages left behind (``fourstep track replay``).

    Args:
        folder: a spool folder (default: all for the present MLFLOW_TRACKING_URI, those of
            Kubeflow's tasks too; their pipeline run should have ended).

    Returns:
        How many runs are still there: 0 if MLflow has everything.
    """
    from components.tracking.ship import ship

    folders = [folder] if folder else spool.destinations()
    for each in folders:
        ship(each)
    return sum(len(spool.pending(each)) for each in folders)
