"""SIGTERM and SIGKILL against real stages: the state is kept, the next run goes on from it."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import psutil
import pytest

from components.command_line import arguments
from components.contract import load_stage, roles

SOLVER = {"iterations": 60, "images_per_batch": 2, "log_every": 2, "checkpoint_every": 10_000}
OFTEN = {"checkpoint_seconds": 0.001}
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
"""On a busy machine two threads wait for each other."""


@pytest.fixture(scope="module")
def command(tmp_path_factory, demo_data, demo_index_path):
    """The command of a training with a worker process, its outputs below a folder."""
    from tests.conftest import run_stage

    out = tmp_path_factory.mktemp("backbone")
    section = {"name": "tiny", "weights": "none", "input": {"short_side": 64, "long_side": 80}}
    start = paths("init_backbone", out, data=demo_data, index=demo_index_path)
    assert run_stage("init_backbone", *start, *arguments(section)).returncode == 0

    def build(folder, **solver):
        given = {"data": demo_data, "index": demo_index_path, "backbone": out / "backbone"}
        section = {"solver": SOLVER | {"workers": 1, "lr": 0.01} | solver}
        section["anchors"] = {"scales": [0.5, 1.0], "ratios": [1.0]}
        flags = [*paths("train_rpn", folder, **given), *arguments(section)]
        return [sys.executable, "-m", "components.train_rpn", *flags]

    return build


def paths(stage, out, **given):
    return [f"--{name}={given.get(name, out / name)}" for name in roles(load_stage(stage))]


@contextmanager
def started(command):
    """A process in a group of its own, which does not outlive the block."""
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, env=ENVIRONMENT
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run(command):
    return subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)


def wait_for(condition, seconds=600):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def whole(command, tmp_path_factory):
    """The outputs of a training that nothing stopped."""
    out = tmp_path_factory.mktemp("whole")
    done = run(command(out))
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize("there", [".lock", "unfinished/resume.safetensors"])
def test_sigterm_to_the_whole_group_keeps_the_state_and_the_next_run_ends_in_the_same_bytes(
    command, whole, tmp_path, there
):
    """Before the training, and within it."""
    with started(command(tmp_path, **OFTEN)) as process:
        wait_for((tmp_path / "scratch" / there).exists)
        os.killpg(process.pid, signal.SIGTERM)
        _, said = process.communicate(timeout=600)
    assert process.returncode == 143, said
    assert not list(tmp_path.rglob(".rpn.*"))
    again = run(command(tmp_path))
    assert again.returncode == 0, again.stderr
    assert ("stopped, kept after iteration" in said) or there == ".lock"
    if "stopped, kept after iteration" in said:
        kept = said.split("stopped, kept after iteration ")[1].split()[0]
        assert f"going on from iteration {kept}" in again.stderr
    for name in ("rpn", "metrics", "curve", "page"):
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


def test_on_kubeflow_a_training_that_is_killed_goes_on_in_the_same_pod(command, whole, tmp_path):
    """Its own supervisor starts it again: Kubeflow's installation never does."""
    task = {"inputs": {}, "outputs": {"artifacts": {}, "outputFile": str(tmp_path / "told.json")}}
    words = [*command(tmp_path, **OFTEN), "--executor_input", json.dumps(task)]
    variables = {"FOURSTEP_TASK": "FOURSTEP_RETRIES=1 0s 1"}
    with subprocess.Popen(
        words, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT | variables
    ) as pod:
        wait_for(lambda: list(tmp_path.glob("scratch/*/unfinished/resume.safetensors")))
        (child,) = psutil.Process(pod.pid).children()
        child.kill()
        said = pod.communicate(timeout=600)[1]
    assert pod.returncode == 0, said
    killed = "train_rpn: was killed by signal 9 (SIGKILL); starts again in 0 s (restart 1 of 1)"
    assert killed in said
    assert "going on from iteration" in said
    for name in ("rpn", "metrics", "curve", "page"):
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


def test_sigterm_within_an_import_ends_the_process_after_it(tmp_path):
    """Also within the making of a class, where Python 3.11 wraps it, and within ``except:``."""
    (tmp_path / "slow.py").write_text(
        "import os, signal\n"
        "class Descriptor:\n"
        "    def __set_name__(self, owner, name):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "try:\n"
        "    class Component:\n"
        "        field = Descriptor()\n"
        "except: pass\n"
        "print('imported')\n"
    )
    script = (
        "from components.termination import stop_on_sigterm, stop_put_off\n"
        "stop_on_sigterm()\n"
        "with stop_put_off():\n"
        "    import slow\n"
        "print('never')\n"
    )
    search = os.pathsep.join([str(tmp_path), os.getcwd()])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": search},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (143, "imported\n", "")


def test_a_killed_stage_frees_its_scratch_folder_though_its_workers_live_on(command, tmp_path):
    long = command(tmp_path, iterations=100_000, checkpoint_every=2)
    with started(long) as first:
        wait_for((tmp_path / "scratch/unfinished/resume.safetensors").exists)
    with started(long) as second:  # at once: orphaned workers end seconds later
        said = second.stderr.readline()
        while said and "going on from iteration" not in said:
            assert "another run of this stage" not in said
            said = second.stderr.readline()
        assert "going on from iteration" in said
        third = run(long)
        assert third.returncode == 1
        assert "another run of this stage with the same inputs is at work" in third.stderr
        second.terminate()
        second.communicate(timeout=600)
    assert second.returncode == 143
    assert first.returncode == -signal.SIGKILL
