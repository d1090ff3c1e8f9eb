"""A full disk, a read-only one: a small tmpfs, which this test mounts where it may."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from components.command_line import arguments
from components.contract import load_stage, roles
from tests.conftest import run_stage

SOLVER = {"iterations": 12, "images_per_batch": 2, "log_every": 2, "checkpoint_every": 2}
SECTION = {
    "solver": SOLVER | {"workers": 0, "lr": 0.01},
    "anchors": {"scales": [0.5, 1.0], "ratios": [1.0]},
}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB, and a function that mounts it anew, read-only or not."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*options):
        command = ["mount", "-t", "tmpfs", "-o", ",".join(("size=4m", *options)), "tmpfs", folder]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("this user may not mount a tmpfs")

    mount()
    yield folder, lambda option: mount("remount", option)
    subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory, demo_data, demo_index_path):
    out = tmp_path_factory.mktemp("backbone")
    section = {"name": "tiny", "weights": "none", "input": {"short_side": 64, "long_side": 80}}
    done = run_stage(
        "init_backbone",
        *flags("init_backbone", out, demo_data, demo_index_path),
        *arguments(section),
    )
    assert done.returncode == 0, done.stderr
    return out / "backbone"


def flags(stage, out, data, index, **inputs):
    """A stage's paths: outputs and scratch below ``out``."""
    given = {"data": data, "index": index, **inputs}
    return [f"--{name}={given.get(name, out / name)}" for name in roles(load_stage(stage))]


@pytest.fixture
def train(backbone, demo_data, demo_index_path):
    """Run train_rpn with its outputs and its scratch in a folder."""

    def run(out):
        paths = flags("train_rpn", out, demo_data, demo_index_path, backbone=backbone)
        return run_stage("train_rpn", *paths, *arguments(SECTION))

    return run


def fill(folder, leave):
    """A file that leaves so many bytes."""
    free = os.statvfs(folder)
    with (folder / "filling").open("wb") as file:
        file.write(bytes(free.f_bavail * free.f_frsize - leave))


def test_full_disk_is_told_and_the_training_goes_on_when_there_is_room(small_disk, train, tmp_path):
    folder, _ = small_disk
    (folder / "rpn").write_bytes(b"the old checkpoint")
    fill(folder, 150_000)
    full = train(folder)
    assert full.returncode == 1
    assert "Traceback" not in full.stderr
    assert "cannot be written (No space left on device)" in full.stderr
    assert "bytes are needed" in full.stderr
    assert str(folder) in full.stderr
    assert (folder / "rpn").read_bytes() == b"the old checkpoint"
    assert not list(folder.rglob("*.partial"))
    (folder / "filling").unlink()
    again = train(folder)
    assert again.returncode == 0, again.stderr
    assert load_file(folder / "rpn").keys() == load_file_of(train, tmp_path / "other").keys()


def load_file_of(train, folder):
    done = train(folder)
    assert done.returncode == 0, done.stderr
    return load_file(folder / "rpn")


def test_read_only_outputs_are_refused_before_anything_is_trained(small_disk, train):
    folder, remount = small_disk
    (folder / "rpn").write_bytes(b"the old checkpoint")
    (folder / "scratch").mkdir()
    remount("ro")
    refused = train(folder)
    remount("rw")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert "cannot be written" in refused.stderr
    assert "Read-only file system" in refused.stderr
    assert "train the RPN" not in refused.stderr  # its progress bar
    assert (folder / "rpn").read_bytes() == b"the old checkpoint"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a stage as somebody else")
def test_a_folder_of_somebody_else_is_refused(small_disk):
    """A process that gave up root's rights, as in a container of another user."""
    folder, _ = small_disk
    code = (
        "import os; from pathlib import Path\n"
        "from components.disk import check_writable\n"
        "from components.errors import InputError\n"
        "os.seteuid(65534)\n"
        "try: check_writable(Path('rpn'))\n"
        "except InputError as error: raise SystemExit(str(error))"
    )
    folder.chmod(0o755)
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=here,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "rpn: cannot be written (Permission denied)" in done.stderr
    assert "Traceback" not in done.stderr
