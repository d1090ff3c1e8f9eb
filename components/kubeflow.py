"""A stage as a Kubeflow task: what it is told, and what it tells Kubeflow at its end.

One flag is Kubeflow's: ``--executor_input`` has its description of the task (``{{$}}`` in the
component). It holds the artifacts to read and to write, and the section of params.yaml, as the
value of the input ``parameters``. The stage's own flags are made of it. Its ``outputFile`` gets the
metadata of the artifacts written, which Kubeflow's pages show. The variable ``FOURSTEP_TASK`` holds
the other variables of the stage, one a line. ``--task`` has the task's name: two components with
equal containers are one to Kubeflow (`hashComponentContainer` in its argocompiler/argo.go), also if
their artifacts have other names. Nothing of kfp is needed for that.
"""

import argparse
import json
import math
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from components import scratch
from components.command_line import Parser, arguments
from components.contract import Input, Output, Scratch, paths, roles, stage_name
from components.digest import value_digest
from components.errors import InputError
from components.metrics import read_metrics
from components.tracking import Run, data_version
from components.tracking.record import digests

EXECUTOR_INPUT, TASK = "--executor_input", "--task"
SCRATCH = "/scratch"
"""Where the volume for scratch folders is mounted."""
VARIABLES = "FOURSTEP_TASK"
"""One variable for all: each costs its length many times in the state of the run."""
LOCAL_FOLDERS = {"gs://": "/gcs/", "minio://": "/minio/", "s3://": "/s3/"}
"""Where the launcher puts the artifacts of each kind of store."""
PREFIX = re.compile(r"(step_\d|joint|data|evaluation|onnx)_")
"""How the name of an artifact begins, after what it is of: ``step_1_rpn``."""


@dataclass(frozen=True)
class Task:
    """The task that a stage is in Kubeflow."""

    executor_input: Mapping[str, Any]

    def own_scratch(self, stage: Any) -> Any:
        """The stage with a scratch folder of its own below the one given.

        The folder is named by the task's image and inputs, so that a retry, and a new run of the
        same, find what an earlier attempt left, and other runs do not. If another run is at work
        in it, this one gets a folder named by its own id, too. The processes that torchrun starts
        are told the name: one that looked whether a folder is free would be in the others' way.
        """
        if name := os.environ.get(scratch.NAME):
            return replace(stage, **{n: path / name for n, path in paths(stage, Scratch).items()})
        image, inputs = os.environ.get("FOURSTEP_IMAGE", ""), self.executor_input.get("inputs", {})
        key = value_digest([stage_name(stage), image, inputs])[:16]
        run = os.environ.get("FOURSTEP_PIPELINE_RUN", "")
        own = {n: path / key for n, path in paths(stage, Scratch).items()}
        if run and not all(scratch.is_free(folder) for folder in own.values()):
            own = {n: path.with_name(f"{key}-{run}") for n, path in own.items()}
        return replace(stage, **own)

    def report(self, stage: Any, run: Run) -> None:
        """Write the metadata of the stage's artifacts.

        Kubeflow may ask for artifacts of its own, too, such as the log; those are left to it.
        """
        outputs = self.executor_input.get("outputs", {})
        found = {
            name: {"artifacts": [artifact | {"metadata": metadata(stage, field, run)}]}
            for name, listed in outputs.get("artifacts", {}).items()
            if (field := field_of(name)) in paths(stage, Output)
            for artifact in listed["artifacts"]
        }
        if "outputFile" in outputs:
            file = Path(outputs["outputFile"])
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({"artifacts": found}))


def field_of(artifact: str) -> str:
    """The stage's output that an artifact is: ``rpn`` for ``step_1_rpn``."""
    prefix = PREFIX.match(artifact)
    return artifact.removeprefix(prefix[0]) if prefix else artifact


def metadata(stage: Any, output: str, run: Run) -> dict[str, Any]:
    """What Kubeflow shows of one output.

    A page has all numbers of the stage, the digests of its outputs, and its run in MLflow: no task
    reads it. What tasks read says little, since its metadata are in the state of each reader,
    many times.
    """
    kinds = {name: role.kind for name, role in roles(stage).items() if isinstance(role, Output)}
    outputs = paths(stage, Output)
    if kinds[output] == "HTML":
        results = {n: path for n, path in outputs.items() if kinds[n] in ("Model", "Dataset")}
        sha256 = {f"{name}.sha256": digest for name, digest in digests(results).items()}
        metrics = [outputs[name] for name, kind in kinds.items() if kind == "Metrics"]
        numbers = {k: v for path in metrics for k, v in finite_metrics(path).items()}
        return provenance(stage, run) | sha256 | numbers
    if kinds[output] == "Metrics":
        return {k: v for k, v in finite_metrics(outputs[output]).items() if k.count(".") <= 1}
    if "HTML" in kinds.values():
        return {}
    own = digests({output: outputs[output]})  # none of a whole data set
    return {"sha256": own[output]} if own else {}


def provenance(stage: Any, run: Run) -> dict[str, str]:
    """Of which data the stage's outputs were made, and its run in MLflow; only what is known."""
    facts = {
        "data_version": data_version(paths(stage, Input) | paths(stage, Output)),
        "mlflow_run_id": run.mlflow_run_id,
        "mlflow_run_url": run.mlflow_run_url,
    }
    return {k: v for k, v in facts.items() if v}


def finite_metrics(path: Path) -> dict[str, float]:
    """The numbers of a metrics file that JSON can hold."""
    return {k: v for k, v in read_metrics(path).items() if math.isfinite(v)}


def is_task(flags: Sequence[str]) -> bool:
    """Whether Kubeflow starts the stage."""
    return any(flag.split("=", 1)[0] == EXECUTOR_INPUT for flag in flags)


def take_variables(flags: Sequence[str]) -> None:
    """Put the variables that `FOURSTEP_TASK` holds, and the task's name, into the environment.

    What the pod has already counts more: Kubeflow's MLflow plugin gives its server and its run.
    """
    lines = os.environ.pop(VARIABLES, "").splitlines()
    for line in lines:
        name, _, value = line.partition("=")
        os.environ.setdefault(name, value)
    if lines:
        os.environ.setdefault("FOURSTEP_SPOOL", f"{SCRATCH}/.tracking")
    if task := kubeflow_flags(flags)[0].task:
        os.environ.setdefault("FOURSTEP_STAGE", task)


def kubeflow_flags(flags: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Kubeflow's own flags, and the rest.

    Raises:
        InputError: ``--executor_input`` is not a JSON object.
    """
    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument(EXECUTOR_INPUT, type=json_object, default=None)
    parser.add_argument(TASK, default=None)
    return parser.parse_known_args(flags)


def unwrap(cls: type, flags: Sequence[str]) -> tuple[Task | None, list[str]]:
    """Kubeflow's task, if there is one, and a stage's flags as they would be without Kubeflow.

    Flags that are given count more than those made of Kubeflow's. Details (`Output.detail`) go to a
    temporary folder: the stage's page and MLflow have them.

    Raises:
        InputError: Kubeflow's flag is not a JSON object, or the section has an input or output.
    """
    known, rest = kubeflow_flags(flags)
    if known.executor_input is None:
        return None, rest
    task = Task(known.executor_input)
    section = task.executor_input.get("inputs", {}).get("parameterValues", {}).get("parameters", {})
    made = [*detail_flags(cls), *artifact_flags(cls, task.executor_input)]
    return task, [*made, *section_flags(cls, section), *rest]


def artifact_flags(cls: type, executor_input: Mapping[str, Any]) -> list[str]:
    """The flags of the artifacts that the stage reads and writes: where they lie in the pod."""
    flags = []
    for side in ("inputs", "outputs"):
        for name, listed in executor_input.get(side, {}).get("artifacts", {}).items():
            if (field := field_of(name)) in roles(cls):
                flags += [f"--{field}", local_path(listed["artifacts"][0])]
    return flags


def local_path(artifact: Mapping[str, Any]) -> str:
    """Where an artifact lies in the pod: Kubeflow's launcher brings it there, and takes it away.

    As `LocalPathForURI` of Kubeflow Pipelines' launcher_v2.go and `Artifact.path` of kfp say. Its
    runner on one machine gives a path in place of an address.
    """
    uri = str(artifact["uri"])
    for scheme, folder in LOCAL_FOLDERS.items():
        if uri.startswith(scheme):
            return folder + uri.removeprefix(scheme)
    return uri


def section_flags(cls: type, section: Mapping[str, Any]) -> list[str]:
    """The flags of the section that Kubeflow hands over as the input ``parameters``.

    Raises:
        InputError: a key is not a parameter of the stage, or is empty.
    """
    own = {field.name for field in fields(cls)} - set(roles(cls))
    for name in section:
        if name not in own:
            raise InputError(f"parameters: {name}: is no parameter of the stage")
    try:
        return arguments(whole_numbers(section))
    except InputError as error:
        raise InputError(f"parameters: {error}") from None


def detail_flags(cls: type) -> list[str]:
    """The flags of a stage's details, in a new temporary folder."""
    names = [n for n, role in roles(cls).items() if isinstance(role, Output) and role.detail]
    if not names:
        return []
    folder = tempfile.mkdtemp(prefix="fourstep-")
    return [word for name in names for word in (f"--{name}", f"{folder}/{name}")]


def json_object(text: str) -> dict[str, Any]:
    """A JSON object; anything else is an error of the flag."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"must be a JSON object, not {text!r}")
    return value


def whole_numbers(value: Any) -> Any:
    """The value with 600.0 as 600: Kubeflow keeps numbers as doubles."""
    if isinstance(value, dict):
        return {k: whole_numbers(v) for k, v in value.items()}
    if isinstance(value, list):
        return [whole_numbers(v) for v in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
