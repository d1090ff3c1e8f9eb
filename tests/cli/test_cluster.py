"""The commands for Kubeflow, as a user calls them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.pipelines.conftest import IMAGES
from tests.pipelines.kfp_server import Frame, serve

ROOT = Path(__file__).parents[2]
PROFILES = ["--profile", ROOT / "profiles/cluster.yaml"]
DATA = ["--profile", ROOT / "profiles/data-dvc.yaml"]
TASKS = {"check-params": "SUCCEEDED", "train-rpn": "SUCCEEDED"}


@pytest.fixture
def project(tmp_path):
    """A folder to work in, with the record of pushed images."""
    record = {"commit": "c0ffee", "images": {r: {"reference": i} for r, i in IMAGES.items()}}
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "images.json").write_text(json.dumps(record))
    for name in ("params.yaml", "data.dvc"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    return tmp_path


@pytest.fixture
def fourstep(project):
    def call(*arguments):
        command = [sys.executable, "-m", "cli", *map(str, arguments)]
        environment = {"PYTHONPATH": str(ROOT), "HOME": str(project)}
        return subprocess.run(
            command, capture_output=True, text=True, cwd=project, env=environment, check=False
        )

    return call


def test_compile_writes_what_lint_approves(fourstep, project):
    done = fourstep("compile", *PROFILES, *DATA)
    assert done.returncode == 0, done.stderr
    package = project / "build" / "kubeflow" / "four_step.yaml"
    assert len(list(yaml.safe_load_all(package.read_text()))) == 2
    assert [p.name for p in package.parent.iterdir()] == ["four_step.yaml"]
    again = fourstep("lint", package)
    assert (again.returncode, again.stdout.strip()) == (0, f"{package}: nothing found")


def test_compile_says_what_a_way_to_the_data_needs(fourstep):
    done = fourstep("compile", *PROFILES, "--profile", ROOT / "profiles/data-uri.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("note: data.uri: minio://mlpipeline/datasets/voc2007: Kubeflow")
    assert "note" not in fourstep("compile", *PROFILES, *DATA).stderr


def test_what_the_linter_refuses_is_not_left_behind(fourstep, project):
    """A token in a setting, say: the last good file stays."""
    assert fourstep("compile", *PROFILES, *DATA).returncode == 0
    package = project / "build" / "kubeflow" / "four_step.yaml"
    good = package.read_text()
    token = "ghp_" + "a1B2" * 9
    setting = f"register_model.model_name={token}"
    done = fourstep("compile", *PROFILES, *DATA, "--set", setting)
    assert done.returncode == 2
    assert "secret" in done.stdout
    assert token not in done.stdout + done.stderr
    assert package.read_text() == good
    assert [p.name for p in package.parent.iterdir()] == ["four_step.yaml"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no profile given (--profile): data: is missing"),
        ([*PROFILES, *DATA, "--set", "train_rpn.lr=1"], "--set: train_rpn.lr: unknown"),
        ([*PROFILES, *DATA, "--params", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        ([*PROFILES, *DATA, "--images", "nowhere.json"], "nowhere.json: no such file"),
        ([*PROFILES, *DATA, "--data-dvc", "nowhere.dvc"], "nowhere.dvc: cannot be read"),
    ],
)
def test_errors_name_what_is_wrong_and_write_nothing(fourstep, project, arguments, message):
    done = fourstep("compile", *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("fourstep: ")
    assert message in done.stderr
    assert not list((project / "build").glob("kubeflow/*"))


def test_a_file_that_is_no_pipeline_is_an_error_of_lint(fourstep, project):
    done = fourstep("lint", project / "params.yaml")
    assert done.returncode == 2
    assert "is no compiled pipeline" in done.stdout + done.stderr


def test_submit_starts_a_run_with_the_changed_section_and_follows_it(fourstep):
    with serve() as server:
        server.script = [Frame("RUNNING", dict(TASKS)), Frame("SUCCEEDED", dict(TASKS))]
        host = ["--host", server.url]
        change = ["--set", "train_rpn.solver.lr=0.002", "--watch"]
        done = fourstep("submit", *host, *PROFILES, *DATA, *change)
        assert done.returncode == 0, done.stderr + done.stdout
        (run,) = server.runs
        given = run.runtime_config.parameters
        assert set(given) == {"train_rpn"}
        assert given["train_rpn"]["solver"]["lr"] == 0.002
        assert given["train_rpn"]["solver"]["iterations"] == 600
        assert run.service_account == "default-editor"
        assert f"https://kubeflow.example.com/pipeline/#/runs/details/{run.run_id}" in done.stdout

        again = fourstep("submit", *host, *PROFILES, *DATA)
        assert again.returncode == 0, again.stderr
        assert len(server.versions) == 1, "the same content is one version"
        assert len(server.runs) == 2
        followed = fourstep("watch", run.run_id, *host)
        assert followed.returncode == 0, followed.stderr


def test_submit_to_nobody_says_so_before_it_compiles(fourstep, project):
    done = fourstep("submit", "--host", "kubeflow", *PROFILES, *DATA)
    assert done.returncode == 1
    assert "--host kubeflow: must be a URL" in done.stderr
    assert not (project / "build" / "kubeflow").exists()


def test_resubmit_without_watch_says_so_before_it_compiles(fourstep, project):
    done = fourstep("submit", "--host", "http://127.0.0.1:9", "--resubmit", "2", *PROFILES, *DATA)
    assert done.returncode == 1
    assert "--resubmit 2: only a run that is watched is sent again; add --watch" in done.stderr
    assert not (project / "build" / "kubeflow").exists()


def test_watch_takes_a_cookie_from_a_file(fourstep, tmp_path):
    cookie = tmp_path / "cookie"
    cookie.write_text("authservice_session=c0okie")
    with serve() as server:
        done = fourstep("watch", "run-7", "--host", server.url, "--cookie-file", cookie)
        assert "there is no run 'run-7'" in done.stderr
        assert {request.cookie for request in server.requests} == {"authservice_session=c0okie"}
