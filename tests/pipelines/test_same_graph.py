"""dvc.yaml and the compiled pipeline are the same graph; a drift in either is noticed."""

import copy

import pytest

from pipelines.sections import PIPELINES
from pipelines.waiting import all_before
from tests.pipelines.graphs import dvc_document, dvc_graph, executor, kubeflow_graph

DVC = dvc_document()


@pytest.mark.parametrize("way", ["volume", "uri", "dvc", "gpus"])
def test_the_same_stages_edges_commands_and_sections(compiled, way):
    assert kubeflow_graph(compiled(way).spec) == dvc_graph(DVC)


def test_so_has_joint_training(compiled):
    assert kubeflow_graph(compiled("joint").spec) == dvc_graph(dvc_document("joint"))


@pytest.mark.parametrize(
    ("way", "first"),
    [("volume", {"check-data"}), ("uri", {"importer", "check-data"}), ("dvc", {"fetch-data"})],
)
def test_kubeflow_adds_what_dvc_does_itself(compiled, way, first):
    """fetch_data checks the version of what it fetches."""
    names = set(compiled(way).spec["root"]["dag"]["tasks"])
    stages = {name.replace("_", "-") for name in DVC["stages"]}
    assert names - stages == first
    assert stages <= names


def test_nothing_starts_before_settings_and_data_are_checked(compiled):
    for way, first in (("dvc", "fetch-data"), ("uri", "check-data"), ("volume", "check-data")):
        tasks = compiled(way).spec["root"]["dag"]["tasks"]
        before = all_before({n: task.get("dependentTasks", []) for n, task in tasks.items()})
        assert "check-params" in before[first]
        assert first in before["validate-data"]
        assert all("validate-data" in before[n] for n in tasks if n.startswith(("init", "train")))


def test_a_task_names_only_what_it_does_not_wait_for_anyhow(compiled):
    """Kubeflow's page draws a line for each name."""
    tasks = compiled("volume").spec["root"]["dag"]["tasks"]
    assert tasks["finetune-detector"]["dependentTasks"] == ["generate-proposals-3"]
    assert tasks["register-model"]["dependentTasks"] == ["evaluate", "validate-onnx"]
    named = [other for task in tasks.values() for other in task.get("dependentTasks", [])]
    assert len(named) == 14
    assert "check_params" in DVC["stages"]["validate_data"]["deps"][0]


@pytest.mark.parametrize(("way", "pipeline"), [("volume", "four-step"), ("joint", "joint")])
def test_check_params_gets_every_section(compiled, way, pipeline):
    spec = compiled(way).spec
    container = executor(spec, "check-params")["container"]
    assert container["command"] == ["fourstep", "check"]
    assert DVC["stages"]["check_params"]["cmd"].startswith("fourstep check params.yaml --write ")
    assert container["args"] == ["--executor_input", "{{$}}"]
    inputs = spec["root"]["dag"]["tasks"]["check-params"]["inputs"]["parameters"]
    sections = {name: {"componentInputParameter": name} for name in PIPELINES[pipeline]}
    assert inputs == sections


def drop_edge(dvc, spec):
    cmd = dvc["stages"]["train_detector"]["cmd"]
    path = "build/generate_proposals_1/proposals.arrow"
    dvc["stages"]["train_detector"]["cmd"] = cmd.replace(f"--proposals {path} ", "")


def other_producer(dvc, spec):
    cmd = dvc["stages"]["finetune_detector"]["cmd"]
    dvc["stages"]["finetune_detector"]["cmd"] = cmd.replace("finetune_rpn/network", "train_rpn/rpn")


def other_section(dvc, spec):
    cmd = dvc["stages"]["finetune_rpn"]["cmd"]
    dvc["stages"]["finetune_rpn"]["cmd"] = cmd.replace("${finetune_rpn}", "${train_rpn}")


def other_command(dvc, spec):
    executor(spec, "evaluate")["container"]["command"] = ["python", "-m", "components.train_rpn"]


def missing_stage(dvc, spec):
    del dvc["stages"]["validate_onnx"]


def missing_task(dvc, spec):
    del spec["root"]["dag"]["tasks"]["generate-proposals-3"]


def other_input(dvc, spec):
    inputs = spec["root"]["dag"]["tasks"]["train-detector"]["inputs"]["artifacts"]
    inputs["proposals"]["taskOutputArtifact"]["producerTask"] = "generate-proposals-3"


def other_parameter(dvc, spec):
    inputs = spec["root"]["dag"]["tasks"]["evaluate"]["inputs"]["parameters"]
    inputs["parameters"]["componentInputParameter"] = "export_onnx"


def missing_flag(dvc, spec):
    del executor(spec, "train-rpn")["container"]["args"][:2]


def missing_output(dvc, spec):
    del spec["components"]["comp-train-rpn"]["outputDefinitions"]["artifacts"]["step_1_page"]


def literal_parameter(dvc, spec):
    cmd = dvc["stages"]["train_rpn"]["cmd"]
    dvc["stages"]["train_rpn"]["cmd"] = cmd.replace("${", "--solver.seed 3 ${")


def two_sections(dvc, spec):
    cmd = dvc["stages"]["train_rpn"]["cmd"]
    dvc["stages"]["train_rpn"]["cmd"] = cmd.replace("${train_rpn}", "${evaluate} ${train_rpn}")


def other_python(dvc, spec):
    dvc["stages"]["evaluate"]["cmd"] = "python3" + dvc["stages"]["evaluate"]["cmd"][6:]


def literal_argument(dvc, spec):
    executor(spec, "train-rpn")["container"]["args"][:0] = ["--solver.lr", "5"]


def flag_without_value(dvc, spec):
    executor(spec, "train-rpn")["container"]["args"].append("--solver.flip")


def shell(dvc, spec):
    executor(spec, "train-rpn")["container"]["command"] = ["sh", "-c", "components.train_rpn"]


def does_not_wait(dvc, spec):
    spec["root"]["dag"]["tasks"]["evaluate"]["dependentTasks"] = []


def dropped_dependency(dvc, spec):
    dvc["stages"]["evaluate"]["deps"].remove("build/train_rpn/rpn.safetensors")


def shared_scratch(dvc, spec):
    args = executor(spec, "finetune-rpn")["container"]["args"]
    args[args.index("/scratch/finetune_rpn")] = "/scratch/finetune_detector"


@pytest.mark.parametrize(
    "drift",
    [
        drop_edge,
        other_producer,
        other_section,
        other_command,
        missing_stage,
        missing_task,
        other_input,
        other_parameter,
        missing_flag,
        missing_output,
        literal_parameter,
        two_sections,
        other_python,
        literal_argument,
        flag_without_value,
        shell,
        does_not_wait,
        dropped_dependency,
        shared_scratch,
    ],
    ids=lambda f: f.__name__,
)
def test_a_drift_is_noticed(compiled, drift):
    dvc, spec = copy.deepcopy(DVC), copy.deepcopy(compiled("volume").spec)
    drift(dvc, spec)
    assert (dvc, spec) != (DVC, compiled("volume").spec)
    try:
        same = kubeflow_graph(spec) == dvc_graph(dvc)
    except AssertionError:  # it does not even read as a stage's command
        same = False
    assert not same
