"""dvc.yaml against the stages' declarations: every path that a stage takes is wired as such."""

import ast
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from components.contract import Input, Output, Scratch, load_stage, roles
from pipelines.sections import STAGE_OF
from tests.pipelines.graphs import dvc_document

ROOT = Path(__file__).parents[2]
STAGES = dvc_document()["stages"]
JOINT = {
    f"joint/dvc.yaml:{k}": v for k, v in dvc_document("joint")["stages"].items() if "wdir" in v
}
RUN = {name: stage for name, stage in STAGES.items() if name != "check_params"}
ALL = RUN | JOINT


def flags(stage):
    words = shlex.split(stage["cmd"])
    return {a[2:]: b for a, b in pairwise(words) if a.startswith("--")}


def declared(stage, *keys):
    found = []
    for key in keys:
        for entry in stage.get(key, []):
            found += [entry] if isinstance(entry, str) else list(entry)
    return found


@pytest.mark.parametrize("name", ALL)
def test_inputs_are_dependencies_and_outputs_are_outputs(name):
    stage = ALL[name]
    component = shlex.split(stage["cmd"])[2].removeprefix("components.")
    given = flags(stage)
    assert set(given) - {"m"} <= set(roles(load_stage(component)))
    wanted = {Input: set(), Output: set(), Scratch: set()}
    for flag, role in roles(load_stage(component)).items():
        if flag in given:
            wanted[type(role)].add(given[flag])
        else:
            assert type(role) is Input, f"{name} does not give --{flag}"
    deps = declared(stage, "deps")
    files = {d for d in deps if d == "data" or d.startswith("build/")}
    assert files - {"build/check_params/sections.txt"} == wanted[Input]
    assert set(declared(stage, "outs", "metrics", "plots")) == wanted[Output]
    assert all(path.startswith("build/.scratch/") for path in wanted[Scratch])
    assert f"components/{component}" in deps


PLUMBING = tuple(
    f"components/{name}"
    for name in (
        "command_line",
        "contract",
        "disk",
        "errors",
        "git",
        "processes",
        "progress",
        "redact",
        "termination",
        "tracking",
    )
)
"""Code that cannot change what a stage writes."""


def module_file(name):
    path = ROOT.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imported_files(start):
    """The project's own files that a module imports, at whatever depth and time."""
    found, waiting = set(), [start]
    while waiting:
        file = waiting.pop()
        name = file.relative_to(ROOT).as_posix()
        if name in found or not file.exists() or name.startswith(PLUMBING):
            continue
        found.add(name)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                own = [m for m in modules if m.startswith(("components.", "models."))]
                waiting += [module_file(m) for m in own]
    return found


@pytest.mark.parametrize("name", ALL)
def test_a_change_of_any_code_that_a_stage_uses_reruns_it(name):
    component = shlex.split(ALL[name]["cmd"])[2].removeprefix("components.")
    code = [d for d in declared(ALL[name], "deps") if d.startswith(("components/", "models"))]
    used = imported_files(ROOT / "components" / component / "run.py")
    unused = [dep for dep in code if not any(file.startswith(dep) for file in used)]
    missing = [file for file in used if not file.startswith(tuple(code))]
    assert (sorted(missing), unused) == ([], [])


@pytest.mark.parametrize("name", ALL)
def test_a_stage_sees_its_own_section_only(name):
    section = ALL[name]["cmd"].split()[-1].removeprefix("${").removesuffix("}")
    component = shlex.split(ALL[name]["cmd"])[2].removeprefix("components.")
    assert STAGE_OF[section] == component
    assert ALL[name]["cmd"].count("${") == 1
    assert "params" not in ALL[name]
    assert name.rpartition(":")[2].startswith(section)


def test_dvc_takes_the_project():
    """It reads every file called dvc.yaml in the whole project."""
    command = [sys.executable, "-m", "dvc", "stage", "list", "--all", "--name-only"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) >= set(STAGES) | set(JOINT)


def test_the_graph_is_the_four_steps():
    writers = {
        path: name for name, s in RUN.items() for path in declared(s, "outs", "metrics", "plots")
    }
    edges = {
        (writers[d], name) for name, s in RUN.items() for d in declared(s, "deps") if d in writers
    }
    assert {a for a, b in edges if b == "train_detector"} == {
        "validate_data",
        "init_backbone",
        "generate_proposals_1",
    }
    assert {a for a, b in edges if b == "finetune_detector"} == {
        "validate_data",
        "finetune_rpn",
        "generate_proposals_3",
    }
    assert ("train_rpn", "generate_proposals_1") in edges
    assert ("finetune_rpn", "generate_proposals_3") in edges
    assert {a for a, b in edges if b == "register_model"} == {
        "validate_data",
        "evaluate",
        "export_onnx",
        "validate_onnx",
    }
