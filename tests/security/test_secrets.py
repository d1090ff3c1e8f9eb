"""No secret of the environment, of an address or of git gets into anything that is written."""

import json
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from components.dataset.index import write_index
from pipelines.lint.secret_shapes import SHAPES
from tests.pipelines.conftest import IMAGES, VERSION

ROOT = Path(__file__).parents[2]
SECRETS = {
    "MLFLOW_TRACKING_PASSWORD": "pass-cafe-0001",
    "MLFLOW_TRACKING_TOKEN": "token-cafe-0002",
    "AWS_SECRET_ACCESS_KEY": "aws-cafe-0003",
    "AWS_SESSION_TOKEN": "session-cafe-0004",
    "FOURSTEP_KFP_TOKEN": "kfp-cafe-0005",
    "GIT_TOKEN": "git-cafe-0006",
}
MARK = "cafe-00"
"""What all of the secrets here have in common, those in addresses too."""
PROFILE = """
data: {volume: {claim: data}}
mlflow:
  uri: http://mlflow.example.com:5000
  secret: {name: login, keys: {password: MLFLOW_TRACKING_PASSWORD}}
"""


@pytest.fixture
def environment(tmp_path):
    """What a careless shell has; nobody listens at the tracking server's address."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FOURSTEP_", "MLFLOW_"))}
    return kept | SECRETS | {
        "MLFLOW_TRACKING_URI": "http://user:uri-cafe-0007@127.0.0.1:9/?token=query-cafe-0008",
        "FOURSTEP_SPOOL": str(tmp_path / "work" / "spool"),
        "FOURSTEP_TRACKING_WAIT": "8",
        "PYTHONPATH": str(ROOT),
    }  # fmt: skip


@pytest.fixture
def work(tmp_path):
    """A project whose git remote has a token in its address, as CI systems set it."""
    folder = tmp_path / "work"
    folder.mkdir()
    remote = "https://ci:git-cafe-0009@git.example.com/team/project.git"
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(["git", "remote", "add", "origin", remote], cwd=folder, check=True)
    return folder


def run(words, work, environment):
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        cwd=work, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert MARK not in done.stdout + done.stderr
    return done


def leaks(folder):
    """Files that hold a secret; git's own configuration, where it was put, is none of ours."""
    files = [p for p in folder.rglob("*") if p.is_file() and ".git" not in p.parts]
    assert files
    return [str(path) for path in files if MARK.encode() in path.read_bytes()]


def register_words(work, evaluation="0.5"):
    write_index(work / "index", [], ["a"], "coco")
    (work / "model.onnx").write_bytes(b"\x08\x0a")  # a model of which only the version is set
    (work / "validation.json").write_text('{"passed": 1.0}')
    (work / "evaluation.json").write_text(f'{{"shared": {{"AP": {evaluation}}}}}')
    paths = {n: work / f"{n}.json" for n in ("evaluation", "validation", "metrics")}
    paths |= {"model": work / "model.onnx", "index": work / "index", "scratch": work / "scratch"}
    flags = [w for name, path in paths.items() for w in (f"--{name}", path)]
    return ["components.register_model", *flags]


@pytest.mark.parametrize("outcome", ["succeeds", "fails"])
def test_a_stage_its_spool_and_its_shipper(outcome, work, environment):
    words = register_words(work, "0.5" if outcome == "succeeds" else "NaN")
    done = run(words, work, environment)
    assert (done.returncode == 0) == (outcome == "succeeds"), done.stderr
    spools = list((work / "spool").rglob("events.jsonl"))
    assert len(spools) == 1
    until = time.monotonic() + 300
    while not list((work / "spool").rglob("error.txt")) and time.monotonic() < until:
        time.sleep(0.1)
    assert list((work / "spool").rglob("error.txt"))  # the shipper has tried, and said why not
    assert leaks(work) == []


def compile_words(work, profile=PROFILE):
    record = {"images": {role: {"reference": name} for role, name in IMAGES.items()}}
    (work / "images.json").write_text(json.dumps(record))
    (work / "profile.yaml").write_text(profile)
    outs = [{"md5": VERSION.md5, "nfiles": 3, "size": 12, "hash": "md5", "path": "data"}]
    (work / "data.dvc").write_text(yaml.safe_dump({"outs": outs}))
    return [
        *("cli", "compile", "--profile", "profile.yaml", "--params", ROOT / "params.yaml"),
        *("--data-dvc", "data.dvc", "--images", "images.json", "-o", "out/pipeline.yaml"),
    ]


def test_the_compiled_pipeline_and_its_lint(work, environment):
    done = run(compile_words(work), work, environment)
    assert done.returncode == 0, done.stderr
    text = (work / "out" / "pipeline.yaml").read_text()
    assert "MLFLOW_TRACKING_PASSWORD" in text  # the key's name, whose value the Secret has
    for what, shape in SHAPES.items():
        assert not shape.search(text), what
    assert run(["cli", "lint", "out/pipeline.yaml"], work, environment).returncode == 0
    assert leaks(work) == []


def test_an_address_with_a_password_is_refused_and_not_shown(work, environment):
    profile = PROFILE.replace("http://", f"http://user:in-profile-{MARK}10@")
    done = run(compile_words(work, profile), work, environment)
    assert done.returncode == 1
    assert "credentials come from a Secret" in done.stderr
    assert leaks(work) == [str(work / "profile.yaml")]  # where its author wrote it


ENGINE = """#!/usr/bin/env python3
import json, sys
if sys.argv[1:3] == ["image", "inspect"]:
    digests = [sys.argv[3].partition(":")[0] + "@sha256:" + "cd" * 32]
    print(json.dumps([{"Id": "sha256:" + "ab" * 32, "Size": 5, "RepoDigests": digests}]))
"""


def test_building_images(work, environment):
    engine = work / "engine"
    engine.write_text(ENGINE)
    engine.chmod(engine.stat().st_mode | stat.S_IEXEC)
    options = ["--option", f"--secret=id=pip.conf,src=/run/{MARK}11"]
    words = ["cli", "images", "--docker", engine, "--record", "images.json", *options]
    done = run(words, work, environment)
    assert done.returncode == 0, done.stderr
    assert json.loads((work / "images.json").read_text())["images"]
    assert leaks(work) == []


TRACKED = subprocess.run(
    ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
    cwd=ROOT, capture_output=True, text=True,
).stdout.split("\0")  # fmt: skip


def test_no_file_of_the_project_holds_one():
    """By the linter's shapes. Tests may: theirs open nothing."""
    checked = [
        ROOT / name
        for name in TRACKED
        if re.search(r"\.(py|ya?ml|toml|txt|jinja|in|dvc)$|file$|^\.", name)
        and not name.startswith("tests/")
        and (ROOT / name).is_file()
    ]
    if not checked:
        pytest.skip("no git here")
    found = []
    for path in checked:
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [(path.name, what) for what, s in SHAPES.items() if s.search(text)]
    assert found == []
