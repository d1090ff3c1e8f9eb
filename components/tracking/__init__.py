"""MLflow tracking that training never waits for.

A stage appends what it has to tell to a file (`spool`). A second process (`ship`) sends it to
MLflow. The stage never imports mlflow, and if the server is away the spool stays on the disk
until the next contact or ``fourstep track replay``.

============================  ======================================================================
``MLFLOW_TRACKING_URI``       default ``sqlite:///mlflow.db``; off without it on Kubeflow
``MLFLOW_EXPERIMENT_NAME``    default ``fourstep``
``MLFLOW_EXPERIMENT_ID``      goes before the name
``MLFLOW_RUN_ID``             resume this run instead of making one; but in a pipeline run, a run
                              without a parent is taken for the parent of all stages
``FOURSTEP_PARENT_RUN_ID``    make the run below this one
``FOURSTEP_PIPELINE_RUN``     a key: runs with the same key share a parent (found for DVC)
``FOURSTEP_PIPELINE_NAME``    how the parent's name begins (four-step; joint for joint/dvc.yaml)
``FOURSTEP_KFP_UI``           where Kubeflow's pages are, for the parent's link to its Kubeflow run
``FOURSTEP_GIT_COMMIT``       the code's commit, where there is no git
``FOURSTEP_STAGE``            the run's name (default: DVC's name of the stage, or the stage's name)
``FOURSTEP_RESTARTS``         how often the stage was started again in its pod, for the run's tag
``FOURSTEP_RESTART_REASON``   how the attempt before this one died, for the run's tag
``FOURSTEP_TRACKING``         ``off`` switches tracking off
``FOURSTEP_TRACKING_WAIT``    how long a stage waits at its end to be shipped, seconds (60);
                              not at all for a server that was just found away
``FOURSTEP_TRACKING_LINGER``  how long the shipper waits for a pipeline run's next stage, seconds
                              (20); not on Kubeflow
``FOURSTEP_SPOOL``            default ``build/.tracking``; on Kubeflow a temporary folder, lost with
                              the pod
============================  ======================================================================
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from components.errors import REFUSAL, Refused
from components.redact import redact
from components.termination import Terminated
from components.tracking import pipeline_run, spool
from components.tracking.record import data_version, record_outputs, run_name, start_event
from components.tracking.run import Run, fate, say, wait_s

__all__ = ["Run", "data_version", "replay", "settle", "track"]

LINGER_S = 20.0
"""The shipper needs 10 s to start, and there are mostly less than 20 s between two stages."""


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
        status = "KILLED" if isinstance(error, KeyboardInterrupt | Terminated) else "FAILED"
        why = error.__cause__ if isinstance(error, Refused) else error
        run.tags({"fourstep.error": redact(f"{type(why).__name__}: {why}")[:1000]})
        run.end(status, {})
        raise
    run.end("FINISHED", record_outputs(stage, run) if writer else {})


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


def start_shipper(folder: Path, *, linger: bool) -> None:
    """Start a process that ships what is in the folder; it ends at once if one is at work.

    It has its own session and no terminal, so that it outlives a stage that is killed and
    holds no pipe open.
    """
    here = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    seconds = float(os.environ.get("FOURSTEP_TRACKING_LINGER") or LINGER_S) if linger else 0.0
    with (folder / "ship.log").open("a") as log:
        subprocess.Popen(
            [sys.executable, "-m", "components.tracking.ship", str(folder), str(seconds)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={k: v for k, v in os.environ.items() if k != REFUSAL} | {"PYTHONPATH": path},
        )


def settle(stage: str) -> None:
    """Wait a while until MLflow has what a stage that died has left.

    For the process that watches over a stage in a pod: at its end the shipper ends, too, and the
    run would go on for ever in MLflow.

    Args:
        stage: the stage's name.
    """
    folder = spool.destination(run_name(stage))
    began = time.time()
    if not spool.pending(folder):
        return
    start_shipper(folder, linger=False)
    while left := spool.pending(folder):
        if time.time() >= began + wait_s() or spool.away(folder, began):
            say(f"MLflow has not got all of {stage}. {fate(left[0])}")
            return
        time.sleep(0.05)


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
