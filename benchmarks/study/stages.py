"""Runs of stages, each once for the same section and inputs."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.disk import ROOT
from components.command_line import arguments
from components.contract import Input, load_stage, roles
from components.digest import path_digest, value_digest

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
        self.index_path = self("validate_data", "validate_data")["index"]

    def __call__(
        self,
        use: str,
        stage: str,
        inputs: Mapping[str, Path] | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> Done:
        """Run a stage, or find its outputs.

        Args:
            use: the section of its settings, and the beginning of its folder's name.
            stage: the stage.
            inputs: paths by input; the data and their index need not be given.
            changes: settings that are other than the section's.
        """
        section = merged(self.sections.get(use.rstrip("_0123456789"), {}), changes or {})
        given = dict(inputs or {}) | {"data": self.data}
        if stage != "validate_data":
            given["index"] = self.index_path
        known = {k: v for k, v in given.items() if k in roles(load_stage(stage))}
        digests = {k: path_digest(v) for k, v in known.items() if k != "data"}
        key = value_digest([stage, section, str(self.data), digests])[:12]
        folder = self.folder / f"{use}-{key}"
        note = folder / "seconds.json"
        if not note.exists():
            seconds = self.run(use, stage, section, known, folder)
            note.write_text(json.dumps(seconds))
        self.done.append(Done(use, folder, json.loads(note.read_text())))
        return self.done[-1]

    def run(
        self, use: str, stage: str, section: Any, inputs: Mapping[str, Any], folder: Path
    ) -> float:
        """Run a stage; the seconds of its process, start-up included."""
        folder.mkdir(parents=True, exist_ok=True)
        flags: list[str] = []
        for name, role in roles(load_stage(stage)).items():
            if not isinstance(role, Input):
                flags += [f"--{name}", str(folder / name)]
            elif name in inputs:
                flags += [f"--{name}", str(inputs[name])]
        command = [sys.executable, "-m", f"components.{stage}", *flags, *arguments(section)]
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


def merged(section: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A section with some of its values replaced, in groups too."""
    found = dict(section)
    for key, value in changes.items():
        nested = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merged(found[key], value) if nested else value
    return found
