"""Single tasks in containers: a preempted training goes on, and data come from a DVC remote."""

import json
import subprocess
import time
from dataclasses import asdict

import pytest

from components.digest import path_digest
from pipelines.compile import dvc_version
from tests.containers.conftest import DOCKER, docker, hardened_words, run_hardened


def executor_input(folder, outputs, section):
    """What Kubeflow gives as {{$}}."""
    artifacts = {
        name: {"artifacts": [{"name": name, "uri": f"s3://bucket/{name}", "metadata": {}}]}
        for name in outputs
    }
    return json.dumps(
        {
            "inputs": {"parameterValues": {"parameters": section}},
            "outputs": {"artifacts": artifacts, "outputFile": f"{folder}/executor_output.json"},
        }
    )


@pytest.fixture
def disk(tmp_path):
    """A folder that the container may write to."""
    tmp_path.chmod(0o777)
    subprocess.run(["chown", "1000:1000", tmp_path], check=True)
    return tmp_path


def train_rpn(run, out, iterations=60):
    """Flags of train_rpn with a checkpoint every five iterations."""
    solver = {"iterations": iterations, "images_per_batch": 2, "log_every": 5, "workers": 0}
    solver |= {"checkpoint_every": 5, "lr": 0.001, "lr_drops": [1000]}
    section = {"anchors": {"scales": [0.5, 1.0], "ratios": [1.0]}, "solver": solver}
    outputs = ("rpn", "metrics", "curve", "page")
    return [
        *("python", "-m", "components.train_rpn", "--data", "/scenes/data"),
        *("--index", run["validate-data"].outputs["data_index"]),
        *("--backbone", run["init-backbone"].outputs["step_0_backbone"]),
        *(word for name in outputs for word in (f"--{name}", f"/disk/{out}/{name}")),
        *("--scratch", "/disk/scratch"),
        *("--executor_input", executor_input(f"/disk/{out}", outputs, section)),
    ]


def test_a_preempted_training_goes_on_and_ends_in_the_same_bytes(
    first_run, pipeline, scenes, images, disk
):
    mounts = [f"{scenes}:/scenes:ro", f"{pipeline.root}:{pipeline.root}:ro", f"{disk}:/disk"]
    words = train_rpn(first_run, "again")
    named = hardened_words(images["train"], *words, mounts=mounts, flags=["--name", "preempted"])
    command = subprocess.Popen([DOCKER, *named], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not list(disk.glob("scratch/*/unfinished/*.safetensors")):
        assert command.poll() is None, "it ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    docker("kill", "preempted")
    assert command.wait() != 0
    assert not (disk / "again").joinpath("rpn").exists()

    again = run_hardened(images["train"], *words, mounts=mounts)
    assert "going on from iteration" in again.stderr + again.stdout
    assert not list(disk.glob("scratch/*/unfinished"))
    run_hardened(images["train"], *train_rpn(first_run, "once"), mounts=mounts)
    for output in ("rpn", "metrics", "curve", "page"):
        assert path_digest(disk / "again" / output) == path_digest(disk / "once" / output)

    told = json.loads((disk / "once" / "executor_output.json").read_text())["artifacts"]
    page = told["page"]["artifacts"][0]["metadata"]
    assert page["rpn.sha256"] == path_digest(disk / "once" / "rpn")
    assert page["loss"] > 0


def test_fetch_data_brings_the_version_that_data_dvc_names(scenes, images, disk):
    remote = disk / "remote"
    options = {"cwd": scenes, "check": True}
    subprocess.run(["dvc", "remote", "add", "--force", "--default", "r", remote], **options)
    subprocess.run(["dvc", "push", "--quiet"], **options)
    version = asdict(dvc_version(scenes / "data.dvc"))
    run_hardened(
        images["data"],
        *("python", "-m", "components.fetch_data", "--data", "/disk/out/data"),
        *("--remote", "/disk/remote"),
        *("--executor_input", executor_input("/disk/out", ["data"], version)),
        mounts=[f"{disk}:/disk"],
    )
    assert path_digest(disk / "out" / "data") == path_digest(scenes / "data")
