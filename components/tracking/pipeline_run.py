"""Which pipeline run a stage belongs to, and the code it runs.

Every stage of one pipeline run finds the same key without being told, so that they meet under
one parent in MLflow.
"""

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from components.git import git
from components.redact import redact

if TYPE_CHECKING:
    import psutil


FOUR_STEP = "four-step"
"""What a pipeline is called that does not say."""


def pipeline_run() -> str | None:
    """The key of the pipeline run: ``FOURSTEP_PIPELINE_RUN``, or DVC's process, or none.

    DVC gives its stages no run id. But it sets ``DVC_STAGE`` for them and not for itself, so
    the nearest ancestor without it is the `dvc repro` that started this stage.
    """
    if key := os.environ.get("FOURSTEP_PIPELINE_RUN"):
        return key
    if "DVC_STAGE" not in os.environ:
        return None
    import psutil

    try:
        for process in psutil.Process().parents():
            if "DVC_STAGE" not in process.environ():
                return f"dvc-{socket.gethostname()}-{process.pid}-{birth(process)}"
    except psutil.Error:  # an ancestor of another user, or one that just ended
        pass
    return None


def birth(process: "psutil.Process") -> str:
    """When a process started, as a string that stays the same.

    In ticks since a start of the machine where there is /proc: the time of day moves when a
    sleeping laptop wakes up, in the middle of a run. A machine that does the same after each start
    has the same numbers again, so the start's own id comes first.
    """
    stat, boot = Path(f"/proc/{process.pid}/stat"), Path("/proc/sys/kernel/random/boot_id")
    if stat.exists() and boot.exists():
        return f"{boot.read_text()[:8]}-{stat.read_text().rpartition(')')[2].split()[19]}"
    return str(process.create_time())


def pipeline_name() -> str:
    """What the pipeline is called: ``FOURSTEP_PIPELINE_NAME``, or the folder of its dvc.yaml."""
    file, colon, _ = os.environ.get("DVC_STAGE", "").rpartition(":")  # joint/dvc.yaml:evaluate
    folder = Path(file).parent.name if colon else ""
    return os.environ.get("FOURSTEP_PIPELINE_NAME") or folder or FOUR_STEP


def engine() -> str:
    """What runs the pipeline: dvc, kubeflow or none."""
    if "DVC_STAGE" in os.environ:
        return "dvc"
    return "kubeflow" if "KUBERNETES_SERVICE_HOST" in os.environ else "none"


def kubeflow_run() -> str | None:
    """The id of the Kubeflow run that this stage is a task of; None elsewhere."""
    return os.environ.get("FOURSTEP_PIPELINE_RUN") if engine() == "kubeflow" else None


def kubeflow_tags() -> dict[str, str]:
    """The Kubeflow run's id and a link to its page, for the parent in MLflow."""
    run, page = kubeflow_run(), os.environ.get("FOURSTEP_KFP_UI")
    if not run:
        return {}
    tags = {"fourstep.kfp_run_id": run}
    if page:
        url = f"{redact(page).rstrip('/')}/#/runs/details/{quote(run, safe='')}"
        tags["fourstep.kfp_run_url"] = url
        tags["mlflow.note.content"] = f"[Kubeflow run {run}]({url})"
    return tags


def pod_tags() -> dict[str, str]:
    """The pod that a stage runs in, for its run in MLflow."""
    if engine() != "kubeflow":
        return {}
    # A host name has at most 63 characters, a pod's name more.
    return {"fourstep.kfp_pod": os.environ.get("KFP_POD_NAME") or socket.gethostname()}


def git_tags() -> dict[str, str]:
    """The commit, and whether the work tree differs from it; empty outside of a repository.

    In a container ``FOURSTEP_GIT_COMMIT`` has the commit that its image was built from.
    """
    if built_from := os.environ.get("FOURSTEP_GIT_COMMIT"):
        return {"mlflow.source.git.commit": built_from}
    commit = git("rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return {}
    # DVC writes dvc.lock while the pipeline runs: that is no change of the code.
    changes = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!*dvc.lock")
    return {"mlflow.source.git.commit": commit, "fourstep.git_dirty": str(bool(changes)).lower()}
