"""What the tests share: a few scenes of the embedded data, indexed once."""

import os

os.environ["FOURSTEP_TRACKING"] = "off"
os.environ["DVC_NO_ANALYTICS"] = "true"
if not os.environ.get("FOURSTEP_GPU"):  # equal bits are promised on CPUs (docs/determinism.md)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from components.dataset.index import Index, read_index
from tests.components.tracked_stages import OUTSIDE

torch.set_num_threads(2)
settings.register_profile("no deadline", deadline=None)  # a busy machine is no failure
settings.load_profile("no deadline")


@pytest.fixture(autouse=True)
def _environment_is_left_as_it_was() -> Iterator[None]:
    """A variable that a test leaves behind would change a later one, far from its cause."""
    before = told_stages()
    yield
    assert told_stages() == before, "the test has left variables of the environment changed"


def told_stages() -> dict[str, str]:
    """The variables that tell a stage where it is, and in which run."""
    return {name: value for name, value in os.environ.items() if name.startswith(OUTSIDE)}


def run_stage(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a stage as DVC does."""
    command = [sys.executable, "-m", f"components.{name}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def demo_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dozen training and six test scenes."""
    from cli.demo_data import make_demo_data

    folder = tmp_path_factory.mktemp("demo") / "data"
    make_demo_data(folder, train_images=12, test_images=6)
    return folder


@pytest.fixture(scope="session")
def demo_index_path(demo_data: Path) -> Path:
    """The index of `demo_data`, written by validate_data itself."""
    out = demo_data.parent / "validated"
    done = run_stage(
        "validate_data",
        *("--data", demo_data, "--index", out / "index.arrow", "--metrics", out / "metrics.json"),
        *("--result", out / "result.json", "--report", out / "report.html"),
        *("--scratch", out / "scratch"),
    )
    assert done.returncode == 0, done.stderr
    return out / "index.arrow"


@pytest.fixture(scope="session")
def demo_index(demo_index_path: Path) -> Index:
    """The index of `demo_data`."""
    return read_index(demo_index_path)
