"""The record of images, what may be referred to, and how they are built."""

import json
import re
import stat
import tomllib
from pathlib import Path

import pytest

from components.contract import load_stage
from components.errors import InputError
from pipelines.images import BASE, ROLES, TARGETS, build, read_record, references
from pipelines.sections import STAGES

ROOT = Path(__file__).parents[2]
DIGEST = "sha256:" + "0123456789abcdef" * 4


def record(folder, **changes):
    images = {role: {"reference": f"registry.example.com/{role}@{DIGEST}"} for role in ROLES}
    images |= {role: {"reference": reference} for role, reference in changes.items()}
    path = folder / "images.json"
    path.write_text(json.dumps({"commit": "c0ffee", "images": images}))
    return path


def test_digests_are_taken(tmp_path):
    found = references(record(tmp_path))
    assert found["train"] == f"registry.example.com/train@{DIGEST}"
    assert set(found) == set(ROLES)
    assert read_record(tmp_path / "images.json")["commit"] == "c0ffee"


@pytest.mark.parametrize(
    "reference",
    [
        "fourstep-train",
        "fourstep-train:latest",
        "registry.example.com:5000/train:v1.2",
        "fourstep-train@sha256:0123",
        f"fourstep-train:v1@{DIGEST[:-1]}",
        "fourstep-train:sha-0123",
    ],
)
@pytest.mark.parametrize("local_tags", [False, True])
def test_what_can_be_moved_is_refused_by_name(tmp_path, reference, local_tags):
    path = record(tmp_path, train=reference)
    with pytest.raises(InputError, match=re.escape(f"train: {reference}: ") + ".*digest"):
        references(path, local_tags=local_tags)


def test_tags_made_of_the_id_are_for_a_local_engine_only(tmp_path):
    path = record(tmp_path, train="local/fourstep-train:sha-0123456789ab")
    with pytest.raises(InputError, match=r"train: local.*--push.*--local-tags"):
        references(path)
    assert references(path, local_tags=True)["train"].endswith("0123456789ab")


@pytest.mark.parametrize("text", ["{", "{}", '{"images": {}}', '{"images": {"train": 1}}', "[]"])
def test_a_record_without_the_roles_is_refused(tmp_path, text):
    (tmp_path / "images.json").write_text(text)
    with pytest.raises(InputError, match=r"images\.json: has not the images of data, train"):
        references(tmp_path / "images.json")


def test_a_missing_record_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match="make images"):
        references(tmp_path / "images.json")


ENGINE = """#!/usr/bin/env python3
import json, os, sys
log = open(os.environ["ENGINE_LOG"], "a")
print(json.dumps(sys.argv[1:]), file=log)
words = sys.argv[1:]
if words[:2] == ["image", "inspect"]:
    if words[2] == os.environ.get("ABSENT") and "pull" not in open(os.environ["ENGINE_LOG"]).read():
        sys.exit("no such image")
    name = words[2].partition(":")[0] if "fourstep" in words[2] else words[2]
    digests = [name + "@sha256:" + "cd" * 32]
    print(json.dumps([{"Id": "sha256:" + "ab" * 32, "Size": 5, "RepoDigests": digests}]))
if words[0] == os.environ.get("FAILING"):
    sys.exit("it fails")
"""


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """A command that stands for docker, and what it was told."""
    file = tmp_path / "engine"
    file.write_text(ENGINE)
    file.chmod(file.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("ENGINE_LOG", str(tmp_path / "log"))

    def told():
        return [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]

    return str(file), told


def test_images_are_built_pushed_and_recorded_by_digest(tmp_path, engine):
    file, told = engine
    path = tmp_path / "images.json"
    options = ["--network=host"]
    found = build(ROOT, path, base="b", push="reg.example.com/t", docker=file, options=options)
    assert json.loads(path.read_text()) == found
    assert found["base"] == {
        "name": "b",
        "id": "sha256:" + "ab" * 32,
        "digests": ["b@sha256:" + "cd" * 32],
    }
    assert references(path)["onnx"] == "reg.example.com/t/fourstep-onnx@sha256:" + "cd" * 32
    builds = [words for words in told() if words[0] == "build"]
    assert [words[words.index("--target") + 1] for words in builds] == list(TARGETS)
    assert all(
        "BASE_IMAGE=b@sha256:" + "cd" * 32 in words and "--network=host" in words
        for words in builds
    )
    assert ["push", "reg.example.com/t/fourstep-data:sha-abababababab"] in told()


def test_without_push_the_tag_is_made_of_the_id(tmp_path, engine):
    path = tmp_path / "images.json"
    build(ROOT, path, docker=engine[0])
    assert references(path, local_tags=True)["data"] == "local/fourstep-data:sha-abababababab"
    assert not any(words[0] == "push" for words in engine[1]())


def test_a_base_that_is_not_here_is_pulled_so_that_its_digest_is_known(
    tmp_path, engine, monkeypatch
):
    monkeypatch.setenv("ABSENT", BASE)
    found = build(ROOT, tmp_path / "images.json", docker=engine[0])
    assert ["pull", BASE] in engine[1]()
    assert found["base"]["digests"]


@pytest.mark.parametrize("step", ["build", "push"])
def test_a_step_that_fails_is_named_and_nothing_is_recorded(tmp_path, engine, monkeypatch, step):
    monkeypatch.setenv("FAILING", step)
    with pytest.raises(InputError, match=f"{step}.* failed with 1"):
        build(ROOT, tmp_path / "images.json", push="r", docker=engine[0])
    assert not (tmp_path / "images.json").exists()


def test_an_engine_that_is_not_installed_is_named(tmp_path):
    with pytest.raises(InputError, match="no-such-engine: cannot be run"):
        build(ROOT, tmp_path / "images.json", docker="no-such-engine")


DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_the_dockerfile_has_the_roles_and_the_default_base():
    targets = re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE)
    assert {*ROLES, "workbench"} <= set(targets)
    assert f"ARG BASE_IMAGE={BASE}" in DOCKERFILE
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", BASE)
    assert not re.search(r"^(ENTRYPOINT|CMD)", DOCKERFILE, re.MULTILINE)
    for part in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]:
        if part.split("\n")[0].split()[-1] in {*ROLES, "workbench"}:
            assert "USER 1000:1000" in part


def locked(path):
    text = (ROOT / path).read_text()
    return set(re.findall(r"^([A-Za-z0-9_.-]+==[^ ;\\]+)", text, re.MULTILINE))


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_the_versions_of_the_lock(role):
    assert locked(f"requirements/{role}.txt") <= locked("requirements.txt")
    assert locked(f"requirements/{role}.txt")


def test_locks_have_hashes_and_no_address():
    for path in ["requirements.txt", *(f"requirements/{role}.txt" for role in ROLES)]:
        text = (ROOT / path).read_text()
        assert "://" not in text
        assert text.count("--hash=sha256:") >= len(locked(path))


def test_what_a_role_needs_is_what_the_project_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    assert set(groups) == set(ROLES)
    wanted = {name for group in groups.values() for name in group if isinstance(name, str)}
    have = {re.split("[>=<]", name)[0] for name in project["project"]["dependencies"]}
    assert wanted - have == {"mlflow-skinny"}  # a part of mlflow


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_has_an_image_with_what_it_imports(name):
    """What `run` and all that it imports need is in the role's lock; see tests/containers too."""
    role = load_stage(name).resources.image
    have = {line.partition("==")[0].lower() for line in locked(f"requirements/{role}.txt")}
    packages = {"PIL": "pillow", "yaml": "pyyaml", "great_expectations": "great-expectations"}
    packages |= {"onnxruntime": "onnxruntime-gpu", "dvc_objects": "dvc-objects"}
    packages |= {"dvc_data": "dvc-data"}
    for module in third_party(ROOT / "components" / name / "run.py"):
        assert packages.get(module, module) in have, module


def third_party(start):
    """Top-level packages that a module and the project's own ones below it import at once."""
    import ast
    import sys

    found, seen, waiting = set(), set(), [start]
    while waiting:
        file = waiting.pop()
        if file in seen or not file.exists():
            continue
        seen.add(file)
        for node in ast.parse(file.read_text()).body:
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                top = module.partition(".")[0]
                if top in ("components", "models"):
                    path = ROOT.joinpath(*module.split("."))
                    waiting += [path.with_suffix(".py"), path / "__init__.py"]
                elif top not in sys.stdlib_module_names:
                    found.add(top)
    return found


def test_the_images_take_only_what_runs_in_them():
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert "*" in ignored
    assert not {"!tests", "!docs", "!.git", "!data", "!build"} & set(ignored)
