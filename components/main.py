"""Running a stage: ``python -m components.<stage>``, by hand, by DVC or by Kubeflow."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from components import kubeflow
from components.command_line import parse
from components.contract import Input, load_stage, paths
from components.errors import InputError
from components.outputs import whole_outputs
from components.scratch import sole_use


def check_inputs(stage: Any) -> None:
    """Refuse inputs that do not exist.

    Raises:
        InputError: naming the flag and the path.
    """
    for name, path in paths(stage, Input).items():
        if not path.exists():
            raise InputError(
                f"--{name} {path}: no such file or folder. Run the stage that writes it first "
                "(`dvc repro` runs all that are needed)."
            )


def main(name: str, argv: Sequence[str] | None = None) -> None:
    """Run the stage ``name`` from the command line: parse, check, track, run, publish."""
    try:
        declaration = load_stage(name)
        task, flags = kubeflow.unwrap(declaration, sys.argv[1:] if argv is None else argv)
        stage = parse(declaration, flags)
        if task:
            stage = task.own_scratch(stage)
        check_inputs(stage)
        from components.tracking import track

        with track(stage) as run, sole_use(stage), whole_outputs(stage) as aside:
            import_module(f"components.{name}.run").run(aside, run)
        if task:
            task.report(stage, run)
    except InputError as error:
        sys.exit(f"{name}: {error}")
