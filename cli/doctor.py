"""`fourstep doctor`: what is installed and reachable, with the remedy where something is not.

Nothing heavy is imported (torch only where there is a GPU, to see whether it can use it), so it
answers at once.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from components.redact import redact

PYTHON = (3, 11)
"""Oldest Python that the project supports."""
PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "pyarrow",
    "pillow",
    "safetensors",
    "scikit-learn",
    "pycocotools",
    "great-expectations",
    "mlflow",
    "dvc",
    "onnx",
    "onnxscript",
    "onnxruntime-gpu",
)
"""Distributions without which a stage cannot run."""
RIVAL = "onnxruntime"
"""It overwrites files of onnxruntime-gpu (which runs on the CPU too): never install both."""
TRACKING_URI = "sqlite:///mlflow.db"
TIMEOUT_S = 2.0
FREE_GIB_OK, FREE_GIB_LEAST = 10.0, 1.0

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, its status, what was found, and what to do about it."""

    name: str
    status: Status
    found: str
    remedy: str = ""


def doctor(root: Path = Path()) -> list[Check]:
    """Look at the environment and at the project in `root`."""
    return [
        check_python(),
        *check_packages(),
        check_gpu(),
        check_dvc(root),
        check_data(root),
        check_mlflow(os.environ.get("MLFLOW_TRACKING_URI") or TRACKING_URI, root),
        check_disk(root),
    ]


def print_checks(checks: Iterable[Check]) -> bool:
    """Print one line a check, remedies below; returns whether none failed."""
    checks = list(checks)
    width = max((len(check.name) for check in checks), default=0)
    for check in checks:
        print(f"{check.status:<4}  {check.name:<{width}}  {check.found}")
        if check.remedy:
            print(f"{'':<{width + 8}}-> {check.remedy}")
    return all(check.status != "fail" for check in checks)


def check_python() -> Check:
    """Whether this Python is new enough."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < PYTHON:
        needed = ".".join(map(str, PYTHON))
        return Check("Python", "fail", found, f"make the environment with Python {needed} or newer")
    return Check("Python", "ok", found)


def check_packages() -> list[Check]:
    """One line for each package that is needed, and one if onnxruntime has a rival."""
    checks = [check_package(name) for name in PACKAGES]
    if version(RIVAL) and version("onnxruntime-gpu"):
        remedy = f"pip uninstall {RIVAL} onnxruntime-gpu, then install the requirements again"
        checks.append(Check(RIVAL, "fail", "installed beside onnxruntime-gpu", remedy))
    return checks


def check_package(name: str) -> Check:
    """Whether a distribution is installed, and its version."""
    found = version(name)
    if found is None:
        return Check(name, "fail", "not installed", "install the requirements (see README)")
    return Check(name, "ok", found)


def version(name: str) -> str | None:
    """The installed version of a distribution, read without importing it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_gpu() -> Check:
    """The GPUs that the driver reports; without one, everything runs on the CPU, slowly."""
    query = "--query-gpu=name,memory.total,driver_version"
    command = ["nvidia-smi", query, "--format=csv,noheader"]
    remedy = "fine for the demo data; real training wants an NVIDIA GPU and its driver"
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=5 * TIMEOUT_S, check=True
        )
    except FileNotFoundError:
        return Check("GPU", "warn", f"none, {os.cpu_count()} CPU cores", remedy)
    except (OSError, subprocess.SubprocessError) as error:
        return Check("GPU", "warn", f"nvidia-smi fails: {error}", "mend the NVIDIA driver")
    found = "; ".join(line.strip() for line in answer.stdout.splitlines() if line.strip())
    if not found:
        return Check("GPU", "warn", "none", remedy)
    if not torch_has_gpu():
        remedy = "the driver may be too old for this torch, or CUDA_VISIBLE_DEVICES hides the GPU"
        return Check("GPU", "warn", f"{found}, but torch cannot use it", remedy)
    return Check("GPU", "ok", found)


def torch_has_gpu() -> bool:
    """Whether torch can use a GPU; slow, so only asked where there is one."""
    try:
        import torch
    except (ImportError, OSError):
        return False
    return torch.cuda.is_available()


def check_dvc(root: Path) -> Check:
    """Whether `root` is a DVC project with a pipeline."""
    if not (root / ".dvc").is_dir():
        return Check("DVC", "fail", f"no .dvc folder in {root.resolve()}", "run `dvc init`")
    if not (root / "dvc.yaml").is_file():
        return Check("DVC", "fail", "no dvc.yaml", "run it in the project's folder")
    return Check("DVC", "ok", "initialised, with a pipeline")


def check_data(root: Path) -> Check:
    """Whether the data folder is there. (Whether it is good is validate_data's to say.)"""
    data = root / "data"
    if not data.is_dir() or not any(data.iterdir()):
        remedy = "run `fourstep demo-data`, or put your own folder there and `dvc add data`"
        return Check("data", "fail", f"no {data}", remedy)
    return Check("data", "ok", ", ".join(sorted(path.name for path in data.iterdir())[:8]))


def check_mlflow(uri: str, root: Path) -> Check:
    """Whether the tracking store answers; runs are spooled to disk meanwhile, so it only warns."""
    shown = redact(uri)
    scheme = urlsplit(uri).scheme
    if scheme in ("http", "https"):
        return check_server(shown)
    if scheme == "sqlite":
        return check_sqlite(root / uri.removeprefix("sqlite:///"), shown)
    return Check("MLflow", "warn", f"{shown}: not checked", "only sqlite and http are tried")


def check_server(uri: str) -> Check:
    """Whether an MLflow server answers its health check within TIMEOUT_S seconds."""
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=TIMEOUT_S):
            return Check("MLflow", "ok", f"{uri} answers")
    except urllib.error.HTTPError as error:
        return Check("MLflow", "ok", f"{uri} answers (status {error.code})")
    except (OSError, ValueError) as error:
        remedy = "start the server or mend MLFLOW_TRACKING_URI; until then runs wait on disk"
        return Check("MLflow", "warn", f"{uri}: {error}", remedy)


def check_sqlite(file: Path, shown: str) -> Check:
    """Whether the database can be read, or made."""
    if not file.exists():
        if os.access(file.parent, os.W_OK):
            return Check("MLflow", "ok", f"{shown} (made on the first run)")
        remedy = "make the folder, or set MLFLOW_TRACKING_URI"
        return Check("MLflow", "warn", f"{shown}: cannot be made in {file.parent}", remedy)
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            (runs,) = connection.execute("SELECT count(*) FROM runs").fetchone()
    except sqlite3.Error as error:
        remedy = "move the file away; it is made anew"
        return Check("MLflow", "warn", f"{shown}: {error}", remedy)
    return Check("MLflow", "ok", f"{shown}, {runs} runs")


def check_disk(root: Path) -> Check:
    """Free space where the project lies: caches and checkpoints need some GiB."""
    free = shutil.disk_usage(root).free / 2**30
    found = f"{free:.1f} GiB free"
    if free >= FREE_GIB_OK:
        return Check("disk", "ok", found)
    status: Status = "warn" if free >= FREE_GIB_LEAST else "fail"
    return Check("disk", status, found, "free some; `dvc gc --workspace` removes unused results")
