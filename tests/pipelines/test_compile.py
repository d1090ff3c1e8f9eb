"""Compiling: what the two documents hold, and what they must not."""

import json
import os
import re
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from components.errors import InputError
from pipelines.compile import compile_pipeline, dvc_version
from pipelines.lint import lint
from pipelines.profile import read_profile
from pipelines.sections import PIPELINES, read_sections
from pipelines.yaml_file import read_yaml
from tests.pipelines.conftest import IMAGES, ROOT, VERSION
from tests.pipelines.graphs import executor

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("way", ["volume", "uri", "dvc", "joint"])
def test_the_documents_are_the_golden_ones(compiled, way):
    """After a wanted change: FOURSTEP_UPDATE_GOLDEN=1 pytest tests/pipelines/test_compile.py."""
    golden = GOLDEN / (f"data-{way}.yaml" if way != "joint" else "joint.yaml")
    if os.environ.get("FOURSTEP_UPDATE_GOLDEN"):
        golden.write_text(compiled(way).path.read_text())
    assert compiled(way).path.read_text() == golden.read_text()


@pytest.mark.parametrize("way", ["volume", "uri", "dvc", "gpus", "joint"])
def test_the_linter_finds_nothing(compiled, way):
    assert lint(compiled(way).path) == []


def test_mini_batches_that_the_gpus_cannot_share_are_refused(tmp_path):
    names = ("cluster.yaml", "data-volume.yaml", "several-gpus.yaml")
    profile = read_profile([ROOT / "profiles" / name for name in names])
    sections = read_sections(ROOT / "params.yaml", ["train_rpn.solver.images_per_batch=6"])
    with pytest.raises(InputError, match=r"train_rpn\.solver\.images_per_batch: 6 .*gpu\.count, 4"):
        compile_pipeline(
            tmp_path / "p.yaml", sections=sections, version=VERSION, images=IMAGES, profile=profile
        )


def test_it_is_plain_yaml_for_kfp(compiled):
    from kfp import components

    for way, pipeline in (("volume", "four-step"), ("joint", "joint")):
        loaded = components.load_component_from_file(str(compiled(way).path))
        assert set(loaded.component_spec.inputs) == {"dvc_version", *PIPELINES[pipeline]}
        assert loaded.component_spec.name == pipeline


def test_the_inputs_default_to_the_settings(compiled):
    parameters = compiled("volume").spec["root"]["inputDefinitions"]["parameters"]
    settings = read_yaml(ROOT / "params.yaml")
    for name in PIPELINES["four-step"]:
        assert parameters[name]["defaultValue"] == (settings[name] or {})
        assert len(json.dumps(parameters[name]["defaultValue"])) < 10_000
    assert parameters["dvc_version"]["defaultValue"] == asdict(VERSION)


@pytest.mark.parametrize("way", ["volume", "uri", "dvc", "joint"])
def test_the_data_version_is_in_the_cache_key_of_what_reads_the_data(compiled, way):
    """Kubeflow's key has the numbers of artifacts and the names of volumes, not what is in them.

    An artifact has the number that Kubeflow gave it when it was made (`toRuntimeArtifact` in its
    metadata/converter.go). So who takes the index, which is made of one version, needs no more.
    """
    for name, task in compiled(way).spec["root"]["dag"]["tasks"].items():
        inputs = task.get("inputs", {})
        sources = {p.get("componentInputParameter") for p in inputs.get("parameters", {}).values()}
        if name in ("fetch-data", "check-data", "validate-data"):
            assert "dvc_version" in sources, name
        elif "data" in inputs.get("artifacts", {}) or "--data" in arguments(compiled(way), name):
            assert "index" in inputs["artifacts"], name


def arguments(compiled, task):
    return executor(compiled.spec, task).get("container", {}).get("args", [])


def test_everything_is_cached_but_the_look_at_the_data(compiled):
    tasks = compiled("volume").spec["root"]["dag"]["tasks"]
    uncached = {n for n, t in tasks.items() if not t["cachingOptions"].get("enableCache")}
    assert uncached == {"check-data"}


def test_no_task_depends_on_a_condition(compiled):
    """kfp's local runner takes a condition on a named output for false, without a word."""
    for task in compiled("dvc").spec["root"]["dag"]["tasks"].values():
        assert not {"triggerPolicy", "iterator"} & set(task)


def test_names_of_volumes_are_in_the_platform_document_only(compiled):
    """Kubeflow adds them to its key; the commands and inputs of the tasks do not change."""
    text = json.dumps(compiled("volume").spec)
    assert "datasets" not in text
    assert "fourstep-scratch" not in text


def test_no_key_of_the_cache_is_set_by_hand(compiled):
    """One would replace image, command and parameters in it."""
    for task in compiled("dvc").spec["root"]["dag"]["tasks"].values():
        assert "cacheKey" not in task["cachingOptions"]


def test_commands_are_explicit_and_hold_nothing_of_one_run(compiled):
    """An ENTRYPOINT is not overridden by kfp's local runner; a run id in a command never hits."""
    spec = compiled("uri").spec
    for name in spec["root"]["dag"]["tasks"]:
        container = executor(spec, name).get("container")
        if container:
            assert container["command"][:2] in (["python", "-m"], ["fourstep", "check"])
            assert not re.search(r"pipeline_(job|task)", json.dumps(container))


def test_no_name_is_one_that_kfp_reserves(compiled):
    for component in compiled("dvc").spec["components"].values():
        for side in ("inputDefinitions", "outputDefinitions"):
            for kind in component.get(side, {}).values():
                assert "Output" not in kind


def test_each_role_has_its_image(compiled):
    spec = compiled("dvc").spec
    used = {n: executor(spec, n)["container"]["image"] for n in spec["root"]["dag"]["tasks"]}
    for name in ("check-params", "fetch-data", "validate-data"):
        assert used[name] == IMAGES["data"]
    for name in ("train-rpn", "generate-proposals-3", "finetune-detector", "evaluate"):
        assert used[name] == IMAGES["train"]
    assert used["export-onnx"] == used["validate-onnx"] == IMAGES["onnx"]
    assert used["register-model"] == IMAGES["register"]


def compile_with(tmp_path, settings=(), profile="data-volume.yaml", images=IMAGES):
    sections = read_sections(ROOT / "params.yaml", settings)
    path = tmp_path / "p.yaml"
    compile_pipeline(
        path,
        sections=sections,
        version=VERSION,
        images=images,
        profile=read_profile([ROOT / "profiles" / profile]),
    )
    return next(yaml.safe_load_all(path.read_text()))


def test_a_setting_changes_one_value(tmp_path):
    spec = compile_with(tmp_path, ["train_rpn.solver.lr=2e-3", "train_rpn.solver.flip=true"])
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    solver = parameters["train_rpn"]["defaultValue"]["solver"]
    assert (solver["lr"], solver["flip"], solver["iterations"]) == (0.002, True, 600)
    shared = parameters["finetune_rpn"]["defaultValue"]["solver"]  # by an anchor of params.yaml
    assert (shared["lr"], shared["flip"]) == (0.001, False)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train_rpn.solver.lrr=1", r"train_rpn\.solver\.lrr: unknown; did you mean"),
        ("train_rpn.solver.lr=fast", r"train_rpn\.solver\.lr.*'fast'"),
        ("train_rpn.solver.lr", "is not like train_rpn"),
        ("lr=1", "is not like train_rpn"),
        ("train_rpn.solver.lr.x=1", "'lr' is a value and has no keys"),
        ("train_rpn.solver.lr=[", "is no YAML value"),
        ("train_rnp.solver.lr=1", "unknown section 'train_rnp'; did you mean 'train_rpn'"),
    ],
)
def test_a_wrong_setting_is_refused_and_writes_nothing(tmp_path, setting, message):
    with pytest.raises(InputError, match=message):
        compile_with(tmp_path, [setting])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train_rpn.solver.seed=9007199254740993", r"train_rpn\.solver\.seed: .*doubles"),
        ("init_backbone.weights=/data/weights.pth", r"init_backbone\.weights: .*sha256"),
    ],
)
def test_a_setting_that_kubeflow_would_not_keep_is_refused(tmp_path, setting, message):
    with pytest.raises(InputError, match=message):
        compile_with(tmp_path, [setting])


def test_a_file_of_weights_with_its_digest_is_taken(tmp_path):
    compile_with(
        tmp_path, ["init_backbone.weights=/data/w.pth", f"init_backbone.sha256={'ab' * 32}"]
    )


def test_what_may_change_from_run_to_run_is_no_variable_of_the_container(compiled):
    """kfp's local cache has the container's variables in its key, and newer servers may."""
    spec = compiled("dvc").spec
    for name in spec["root"]["dag"]["tasks"]:
        assert "env" not in executor(spec, name).get("container", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("outs: []", "must name one folder"),
        ("outs: [{path: a, md5: 0123}]", "is not DVC 3's"),
        ("outs: [{path: a, hash: md5, md5: nonsense.dir}]", "'nonsense.dir' is not the version"),
        ("outs: [{path: a, hash: md5}]", "is not the version of a folder"),
        ("outs: [{path: a, hash: md5, md5: x.dir, nfiles: null}]", "int"),
        ("deps: [a]", "must name one folder"),
        ("- a", "must hold a mapping"),
    ],
)
def test_a_file_that_names_no_folder_is_refused(tmp_path, text, message):
    (tmp_path / "data.dvc").write_text(text)
    with pytest.raises(InputError, match=r"data\.dvc: .*" + message):
        dvc_version(tmp_path / "data.dvc")


def test_the_projects_own_data_have_a_version():
    assert dvc_version(ROOT / "data.dvc").nfiles == 603
