"""The compiled pipeline in containers: the same bytes as `dvc repro`, and a cache that is right."""

import json
import shlex
import subprocess

import pytest
import yaml

from components.digest import path_digest
from components.errors import CheckFailed
from components.kubeflow import field_of
from pipelines.compile import dvc_version
from tests.containers.conftest import PARAMS, ROOT, docker, run_hardened
from tests.pipelines.graphs import flags, listed

DVC = """
set -e
cp -r /given/. .
printf '[core]\\n    no_scm = true\\n' > .dvc/config.local
dvc repro
"""


@pytest.fixture(scope="session")
def dvc_outputs(tmp_path_factory, scenes, images):
    """What `dvc repro` writes in the workbench image, by task and output name."""
    given, project = tmp_path_factory.mktemp("given"), tmp_path_factory.mktemp("dvc")
    code = [ROOT / name for name in ("dvc.yaml", "models", "components")]
    subprocess.run(["cp", "-r", *code, PARAMS, *scenes.glob("data*"), given], check=True)
    subprocess.run(["cp", "--parents", ".dvc/config", given], cwd=ROOT, check=True)
    subprocess.run(["chown", "-R", "1000:1000", given, project], check=True)
    environment = ["--env", "DVC_SITE_CACHE_DIR=/tmp/dvc", "--workdir", "/project"]
    run_hardened(
        images["workbench"],
        "sh",
        "-c",
        DVC,
        mounts=[f"{given}:/given:ro", f"{project}:/project"],
        flags=environment,
    )
    found = {}
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        outs = listed(stage, "outs", "metrics", "plots")
        given_flags = flags(shlex.split(stage["cmd"]))
        found[name.replace("_", "-")] = {
            f: project / path for f, path in given_flags.items() if path in outs
        }
    return found


def test_every_task_ran_and_wrote_what_it_declares(first_run):
    assert {run.state for run in first_run.values()} == {"ran"}
    assert sum(len(run.outputs) for run in first_run.values()) == 20


def test_outputs_are_byte_for_byte_those_of_dvc_repro(first_run, dvc_outputs, capsys):
    rows = []
    for task, run in first_run.items():
        for name, path in run.outputs.items():
            dvc = dvc_outputs[task][field_of(name)]
            rows.append((task, name, path_digest(dvc), path_digest(path)))
    with capsys.disabled():
        print(f"\n{'task':<24}{'output':<24}{'dvc repro':<18}{'Kubeflow':<18}")
        for task, name, dvc, kubeflow in rows:
            print(f"{task:<24}{name:<24}{dvc[:16]:<18}{kubeflow[:16]:<18}")
    assert [row for row in rows if row[2] != row[3]] == []
    assert set(first_run) - set(dvc_outputs) == {"check-data"}


def states(runs):
    return {task for task, run in runs.items() if run.state == "ran"}


def test_an_unchanged_run_is_all_cached_but_the_look_at_the_data(pipeline, first_run):
    assert states(pipeline.run()) == {"check-data"}


def test_a_changed_setting_runs_its_stage_and_what_follows(pipeline, first_run):
    ran = states(pipeline.run(settings=["validate_onnx.batch_size=2"]))
    assert ran == {"check-params", "check-data", "validate-onnx", "register-model"}


def test_a_changed_image_runs_the_tasks_that_use_it(pipeline, first_run, images, tmp_path):
    (tmp_path / "Dockerfile").write_text(f"FROM {images['register']}\nLABEL changed=yes\n")
    docker("build", "--quiet", "--tag", "changed", tmp_path, env=buildkit())
    image = docker("image", "inspect", "--format", "{{.Id}}", "changed").stdout.strip()
    tag = f"local/fourstep-register:sha-{image.removeprefix('sha256:')[:12]}"
    docker("tag", "changed", tag)
    ran = states(pipeline.run(images=pipeline.images | {"register": tag}))
    assert ran == {"check-data", "register-model"}


def buildkit():
    import os

    return os.environ | {"DOCKER_BUILDKIT": "1"}


@pytest.fixture
def changed_data(scenes, tmp_path):
    """The scenes with a box that has no width."""
    subprocess.run(["cp", "-r", scenes / "data", tmp_path / "data"], check=True)
    file = tmp_path / "data" / "annotations" / "instances_train.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["bbox"][2] = 0
    file.write_text(json.dumps(content))
    return tmp_path / "data"


def test_data_that_are_not_those_of_data_dvc_stop_the_pipeline(pipeline, first_run, changed_data):
    """Before any other task reads them, which the false SUCCESS of kfp's runner would allow."""
    with pytest.raises(CheckFailed, match="check-data"):
        pipeline.run(data=changed_data)


def test_changed_data_are_no_stale_hit(pipeline, first_run, changed_data, tmp_path):
    """The new version passes check_data; validate_data runs again and refuses the box."""
    subprocess.run(["dvc", "init", "--no-scm", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(["dvc", "add", "--quiet", "data"], cwd=tmp_path, check=True)
    version = dvc_version(tmp_path / "data.dvc")
    with pytest.raises(CheckFailed, match="validate-data"):
        pipeline.run(data=changed_data, version=version)
