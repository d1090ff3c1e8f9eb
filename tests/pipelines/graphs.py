"""dvc.yaml and the compiled pipeline in one form, so that they can be compared."""

import shlex
from itertools import pairwise
from pathlib import Path

import yaml

from components.contract import Output, load_stage, roles
from components.kubeflow import field_of
from pipelines.sections import stage_of
from pipelines.waiting import all_before

ROOT = Path(__file__).parents[2]


def flags(words):
    return {a[2:]: b for a, b in pairwise(words) if a.startswith("--")}


def listed(stage, *keys):
    entries = [entry for key in keys for entry in stage.get(key, [])]
    return [path for e in entries for path in ([e] if isinstance(e, str) else e)]


def pairs(words):
    """Flags and their values; anything else is an error."""
    assert len(words) % 2 == 0, words
    assert all(flag.startswith("--") for flag in words[::2]), words
    return dict(zip((flag[2:] for flag in words[::2]), words[1::2], strict=True))


def dvc_document(pipeline="four-step"):
    """dvc.yaml as it is; or joint/dvc.yaml with the stages of the other that it stands on."""
    document = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    if pipeline == "joint":
        common = ("check_params", "validate_data", "init_backbone")
        stages = {name: document["stages"][name] for name in common}
        document = yaml.safe_load((ROOT / "joint/dvc.yaml").read_text())
        document["stages"] = stages | document["stages"]
    return document


def details(name):
    """The outputs of a stage that only detail others."""
    declared = roles(load_stage(stage_of(name)))
    return {n for n, role in declared.items() if isinstance(role, Output) and role.detail}


def dvc_graph(document):
    """Stage: command, section, {flag: where its path comes from}, and all that ends before it.

    Details are left out: Kubeflow has no artifacts of them.
    """
    stages = {k: v for k, v in document["stages"].items() if k != "check_params"}
    writer = {}
    for name, stage in stages.items():
        outs = listed(stage, "outs", "metrics", "plots")
        writer |= {p: (name, f) for f, p in flags(shlex.split(stage["cmd"])).items() if p in outs}
    graph = {}
    for name, stage in stages.items():
        *words, section = shlex.split(stage["cmd"])
        paths = {}
        for flag, path in pairs(words[3:]).items():
            if path == "data":
                paths[flag] = "data"
            elif path.startswith("build/.scratch/"):
                own = path.removeprefix("build/.scratch/").removeprefix("joint/")
                paths[flag] = f"scratch {own}"
            elif path in writer:
                own = writer[path][0] == name
                assert own or path in listed(stage, "deps"), f"{name} reads {path}"
                paths[flag] = "written" if own else writer[path]
            else:
                paths[flag] = ("literal", path)
        assert all(paths.pop(detail) == "written" for detail in details(name))
        graph[name] = (words[:3], section.removeprefix("${").removesuffix("}"), paths)
    before = all_before({name: waits(stage, writer) for name, stage in stages.items()})
    return {name: (*row, before[name]) for name, row in graph.items()}


def waits(stage, writer):
    """The stages whose files a stage depends on."""
    found = {writer[path][0] for path in listed(stage, "deps") if path in writer}
    checked = "build/check_params/sections.txt" in listed(stage, "deps")
    return found | ({"check_params"} if checked else set())


def kubeflow_graph(spec):
    """The same of the compiled pipeline, without the tasks that bring and check the data."""
    graph = {}
    tasks = spec["root"]["dag"]["tasks"]
    before = all_before({name: task.get("dependentTasks", []) for name, task in tasks.items()})
    for name, task in tasks.items():
        container = executor(spec, name).get("container")
        if name in BEFORE or not container:
            continue
        section = task["inputs"]["parameters"]["parameters"]["componentInputParameter"]
        given = pairs(container["args"])
        assert given.pop("executor_input") == "{{$}}"
        assert given.pop("task") == name.replace("-", "_")
        paths = {flag: place(value) for flag, value in given.items()}
        paths |= {n: origin(source) for n, source in task["inputs"].get("artifacts", {}).items()}
        paths |= {field_of(artifact): "written" for artifact in outputs(spec, name)}
        waits = {w.replace("-", "_") for w in before[name] - {*BEFORE, "importer"}}
        waits |= {"check_params"} & {w.replace("-", "_") for w in before[name]}
        graph[name.replace("-", "_")] = (container["command"], section, paths, waits)
    return graph


BEFORE = ("check-params", "fetch-data", "check-data")
"""Tasks before those of DVC, which brings and checks the data itself."""


def place(value):
    """Where a fixed path is."""
    if value == "/data":
        return "data"
    if value.startswith("/scratch/"):
        return f"scratch {value.removeprefix('/scratch/')}"
    return "literal", value


def origin(source):
    """The task and output that an artifact comes from."""
    producer = source["taskOutputArtifact"]["producerTask"].replace("-", "_")
    if producer in ("importer", "fetch_data"):
        return "data"
    return producer, field_of(source["taskOutputArtifact"]["outputArtifactKey"])


def outputs(spec, task):
    """The artifacts that a task writes."""
    component = spec["components"][spec["root"]["dag"]["tasks"][task]["componentRef"]["name"]]
    return component.get("outputDefinitions", {}).get("artifacts", {})


def executor(spec, task):
    component = spec["components"][spec["root"]["dag"]["tasks"][task]["componentRef"]["name"]]
    return spec["deploymentSpec"]["executors"][component["executorLabel"]]
