"""dvc.yaml and the compiled pipeline in one form, so that they can be compared."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]

INPUT = re.compile(r"\{\{\$\.inputs\.artifacts\['(\w+)'\]\.path\}\}")
OUTPUT = re.compile(r"\{\{\$\.outputs\.artifacts\['(\w+)'\]\.path\}\}")
SECTION = re.compile(r"\{\{\$\.inputs\.parameters\['(\w+)'\]\}\}")


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


def dvc_graph(document):
    """Stage: command, section, {flag: where its path comes from}, and what it waits for."""
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
                paths[flag] = "written" if writer[path][0] == name else writer[path]
            else:
                paths[flag] = ("literal", path)
        waits = {writer[path][0] for path in listed(stage, "deps") if path in writer}
        if "build/check_params/sections.txt" in listed(stage, "deps"):
            waits.add("check_params")
        graph[name] = (words[:3], section.removeprefix("${").removesuffix("}"), paths, waits)
    return graph


def kubeflow_graph(spec):
    """The same of the compiled pipeline, without the tasks that bring and check the data."""
    graph = {}
    for name, task in spec["root"]["dag"]["tasks"].items():
        container = executor(spec, name).get("container")
        if name in ("check-data", "fetch-data", "check-params") or not container:
            continue
        inputs = task["inputs"]
        given = pairs(container["args"])
        section = SECTION.fullmatch(given.pop("parameters"))[1]
        section = inputs["parameters"][section]["componentInputParameter"]
        assert given.pop("executor_input") == "{{$}}"
        paths = {flag: origin(flag, value, inputs) for flag, value in given.items()}
        # check-data itself waits for check-params.
        waits = {w.replace("check-data", "check-params") for w in task["dependentTasks"]}
        waits = {w.replace("-", "_") for w in waits - {"importer", "fetch-data"}}
        graph[name.replace("-", "_")] = (container["command"], section, paths, waits)
    return graph


def origin(flag, value, inputs):
    if value == "/data":
        return "data"
    if value.startswith("/scratch/"):
        return f"scratch {value.removeprefix('/scratch/')}"
    if OUTPUT.fullmatch(value):
        assert OUTPUT.fullmatch(value)[1] == flag
        return "written"
    if not INPUT.fullmatch(value):
        return "literal", value
    source = inputs["artifacts"][INPUT.fullmatch(value)[1]]["taskOutputArtifact"]
    producer = source["producerTask"].replace("-", "_")
    if producer in ("importer", "fetch_data"):
        return "data"
    return producer, source["outputArtifactKey"]


def executor(spec, task):
    component = spec["components"][spec["root"]["dag"]["tasks"][task]["componentRef"]["name"]]
    return spec["deploymentSpec"]["executors"][component["executorLabel"]]
