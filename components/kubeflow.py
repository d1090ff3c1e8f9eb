"""A stage as a Kubeflow task: how it gets its parameters, and what it tells Kubeflow at its end.

Two flags come before a stage's own. ``--parameters`` has the section of params.yaml as one JSON
object, for Kubeflow cannot write it as flags. ``--executor_input`` has Kubeflow's description
of the task (``{{$}}`` in the component); its ``outputFile`` gets the metadata of the outputs,
which Kubeflow's pages show. Nothing of kfp is needed for that.
"""

import argparse
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from components.command_line import Parser, arguments
from components.contract import Input, Output, Scratch, paths, roles, stage_name
from components.digest import value_digest
from components.errors import InputError
from components.metrics import read_metrics
from components.scratch import is_free
from components.tracking import Run, data_version
from components.tracking.record import digests


@dataclass(frozen=True)
class Task:
    """The task that a stage is in Kubeflow."""

    executor_input: Mapping[str, Any]

    def own_scratch(self, stage: Any) -> Any:
        """The stage with a scratch folder of its own below the one given.

        The folder is named by the task's image and inputs, so that a retry, and a new run of the
        same, find what an earlier attempt left, and other runs do not. If another run is at work
        in it, this one gets a folder named by its own id, too.
        """
        image, inputs = os.environ.get("FOURSTEP_IMAGE", ""), self.executor_input.get("inputs", {})
        key = value_digest([stage_name(stage), image, inputs])[:16]
        run = os.environ.get("FOURSTEP_PIPELINE_RUN", "")
        own = {n: path / key for n, path in paths(stage, Scratch).items()}
        if run and not all(is_free(folder) for folder in own.values()):
            own = {n: path.with_name(f"{key}-{run}") for n, path in own.items()}
        return replace(stage, **own)

    def report(self, stage: Any, run: Run) -> None:
        """Write the outputs' metadata: the numbers of metrics; of the rest, what made them."""
        facts = provenance(stage, run)
        outputs = self.executor_input.get("outputs", {})
        found = {
            name: {"artifacts": [artifact | {"metadata": metadata(stage, name, facts)}]}
            for name, listed in outputs.get("artifacts", {}).items()
            for artifact in listed["artifacts"]
        }
        if "outputFile" in outputs:
            file = Path(outputs["outputFile"])
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({"artifacts": found}))


def provenance(stage: Any, run: Run) -> dict[str, str]:
    """Which run made the outputs, of which data; only what is known."""
    facts = {
        "data_version": data_version(paths(stage, Input) | paths(stage, Output)),
        "kfp_run_id": os.environ.get("FOURSTEP_PIPELINE_RUN"),
        "mlflow_run_id": run.mlflow_run_id,
        "mlflow_run_url": run.mlflow_run_url,
    }
    return {k: v for k, v in facts.items() if v}


def metadata(stage: Any, name: str, facts: Mapping[str, str]) -> dict[str, Any]:
    """What Kubeflow shows of one output."""
    role, path = roles(stage)[name], paths(stage, Output)[name]
    if isinstance(role, Output) and role.kind == "Metrics":
        return {k: v for k, v in read_metrics(path).items() if math.isfinite(v)}
    own = digests({name: path})  # none of a whole data set, whose version is in the facts
    return {"sha256": own[name], **facts} if own else dict(facts)


def unwrap(cls: type, flags: Sequence[str]) -> tuple[Task | None, list[str]]:
    """Kubeflow's task, if there is one, and a stage's flags as they would be without Kubeflow.

    Raises:
        InputError: Kubeflow's flags are no JSON objects, or the section has an input or output.
    """
    parser = Parser(add_help=False, allow_abbrev=False)
    for flag in ("--parameters", "--executor_input"):
        parser.add_argument(flag, type=json_object, default=None)
    known, rest = parser.parse_known_args(flags)
    own = {field.name for field in fields(cls)} - set(roles(cls))
    for name in known.parameters or {}:
        if name not in own:
            raise InputError(f"--parameters: {name}: is no parameter of the stage")
    try:
        section = arguments(whole_numbers(known.parameters or {}))
    except InputError as error:
        raise InputError(f"--parameters: {error}") from None
    task = None if known.executor_input is None else Task(known.executor_input)
    return task, [*rest, *section]


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
