"""Runs of stages, each once for the same section and inputs."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.disk import ROOT
from components.command_line import arguments, path_arguments
from components.contract import load_stage
from components.digest import path_digest, value_digest
from components.evaluate import Evaluate
from pipelines.sections import check_section, section_of, stage_of

Sections = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Done:
    """A stage that has run: the folder with its outputs by name, and the seconds it took."""

    use: str
    folder: Path
    seconds: float

    def __getitem__(self, output: str) -> Path:
        return self.folder / output


class Stages:
    """Runs stages on one data set with one seed; `done` has what a schedule took, in order.

    Outputs lie in ``<folder>/<use>-<digest>``. The digest is of the section and the inputs, not of
    the code: give another folder after a change of it.
    """

    def __init__(self, folder: Path, data: Path, sections: Sections, name: str) -> None:
        """Where outputs go, the data, settings by section, and what the run in MLflow is called."""
        self.folder, self.data, self.sections, self.name = folder, data, sections, name
        self.done: list[Done] = []
        self.index_path = self("validate_data")["index"]

    def __call__(
        self,
        use: str,
        inputs: Mapping[str, Path] | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> Done:
        """Run a stage, or find its outputs.

        Args:
            use: of the stage, as dvc.yaml names it.
            inputs: paths by input; the data and their index need not be given.
            changes: settings that are other than the section's.
        """
        section = merged(self.sections[section_of(use)], changes or {})
        given = dict(inputs or {})
        if use != "validate_data":
            given["index"] = self.index_path
        digests = {name: path_digest(path) for name, path in given.items()}
        key = value_digest([stage_of(use), section, str(self.data), digests])[:12]
        folder = self.folder / f"{use}-{key}"
        note = folder / "seconds.json"
        if not note.exists():
            note.write_text(json.dumps(self.run(use, section, given, folder)))
        self.done.append(Done(use, folder, json.loads(note.read_text())))
        return self.done[-1]

    def run(
        self, use: str, section: Mapping[str, Any], inputs: Mapping[str, Path], folder: Path
    ) -> float:
        """Run a stage; the seconds of its process, start-up included."""
        folder.mkdir(parents=True, exist_ok=True)
        stage = stage_of(use)
        paths = path_arguments(load_stage(stage), {**inputs, "data": self.data}, folder)
        command = [sys.executable, "-m", f"components.{stage}", *paths, *arguments(section)]
        start = time.perf_counter()
        subprocess.run(command, check=True, env=os.environ | self.names(use), stdout=sys.stderr)
        return time.perf_counter() - start

    def names(self, use: str) -> dict[str, str]:
        """The environment that records a stage in MLflow below this schedule's run."""
        return {
            "PYTHONPATH": str(ROOT),
            "FOURSTEP_STAGE": use,
            "FOURSTEP_PIPELINE_RUN": f"{self.folder.absolute()} {self.name}",
            "FOURSTEP_PIPELINE_NAME": self.name,
        }


def evaluation(section: Mapping[str, Any], data: Path, proposals: Path | None = None) -> Evaluate:
    """The stage evaluate by its settings, for `pass_over_split`: no other inputs are read.

    Args:
        section: of params.yaml.
        data: the data set's folder.
        proposals: of the test split, in place of the RPN's.
    """
    stage: Evaluate = check_section("evaluate", section)
    return replace(stage, data=data, given_proposals=proposals)


def merged(section: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A section with some of its values replaced, in groups too."""
    found = dict(section)
    for key, value in changes.items():
        nested = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merged(found[key], value) if nested else value
    return found
