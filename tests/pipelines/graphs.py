"""dvc.yaml and the compiled pipeline in one form, so that they can be compared."""

import re
import shlex
from itertools import pairwise

INPUT = re.compile(r"\{\{\$\.inputs\.artifacts\['(\w+)'\]\.path\}\}")
OUTPUT = re.compile(r"\{\{\$\.outputs\.artifacts\['(\w+)'\]\.path\}\}")
SECTION = re.compile(r"\{\{\$\.inputs\.parameters\['(\w+)'\]\}\}")


def flags(words):
    return {a[2:]: b for a, b in pairwise(words) if a.startswith("--")}


def listed(stage, *keys):
    entries = [entry for key in keys for entry in stage.get(key, [])]
    return [path for e in entries for path in ([e] if isinstance(e, str) else e)]


def dvc_graph(document):
    """Stage: (module, section, {flag: where its path comes from}); check_params: its sections."""
    stages = {k: v for k, v in document["stages"].items() if k != "check_params"}
    writer = {}
    for name, stage in stages.items():
        outs = listed(stage, "outs", "metrics", "plots")
        writer |= {p: (name, f) for f, p in flags(shlex.split(stage["cmd"])).items() if p in outs}
    graph = {}
    for name, stage in stages.items():
        words = shlex.split(stage["cmd"])
        paths = {}
        for flag, path in flags(words).items():
            if path == "data":
                paths[flag] = "data"
            elif path.startswith("build/.scratch/"):
                paths[flag] = f"scratch {path.removeprefix('build/.scratch/')}"
            elif path in writer:
                paths[flag] = "written" if writer[path][0] == name else writer[path]
        graph[name] = (words[2], words[-1].removeprefix("${").removesuffix("}"), paths)
    return graph


def kubeflow_graph(spec):
    """The same of the compiled pipeline, without the tasks that bring and check the data."""
    graph = {}
    for name, task in spec["root"]["dag"]["tasks"].items():
        container = executor(spec, name).get("container")
        if name in ("check-data", "fetch-data", "check-params") or not container:
            continue
        inputs = task["inputs"]
        given = flags(container["args"])
        (section,) = SECTION.findall(given.pop("parameters"))
        section = inputs["parameters"][section]["componentInputParameter"]
        assert given.pop("executor_input") == "{{$}}"
        paths = {flag: origin(flag, value, inputs) for flag, value in given.items()}
        graph[name.replace("-", "_")] = (container["command"][2], section, paths)
    return graph


def origin(flag, value, inputs):
    if value == "/data":
        return "data"
    if value.startswith("/scratch/"):
        return f"scratch {value.removeprefix('/scratch/')}"
    if OUTPUT.fullmatch(value):
        assert OUTPUT.fullmatch(value)[1] == flag
        return "written"
    source = inputs["artifacts"][INPUT.fullmatch(value)[1]]["taskOutputArtifact"]
    producer = source["producerTask"].replace("-", "_")
    if producer in ("importer", "fetch_data"):
        return "data"
    return producer, source["outputArtifactKey"]


def executor(spec, task):
    component = spec["components"][spec["root"]["dag"]["tasks"][task]["componentRef"]["name"]]
    return spec["deploymentSpec"]["executors"][component["executorLabel"]]
