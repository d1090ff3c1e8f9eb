"""Running a stage: ``python -m components.<stage>``, by hand, by DVC or by Kubeflow."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from components import kubeflow
from components.command_line import parse
from components.contract import Input, load_stage, paths
from components.disk import refusals_named
from components.errors import InputError, refusals_said
from components.lazy_dynamo import lazy_dynamo
from components.memory import keep_freed_memory
from components.outputs import whole_outputs
from components.processes import start_several, this_process
from components.scratch import sole_use
from components.supervise import is_supervised, retries, supervise
from components.termination import stop_on_sigterm, stop_put_off


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


def work_of(name: str) -> Any:
    """The module that does the stage's work, imported only now."""
    with stop_put_off(), lazy_dynamo():
        return import_module(f"components.{name}.run")


def watch_over(name: str, argv: Sequence[str]) -> None:
    """Supervise the stage in a process of its own, if it may be started again.

    Returns in that process, and where nothing is to be started again.
    """
    allowed = retries()
    if allowed.count and not is_supervised():
        command = [sys.executable, "-m", f"components.{name}", *argv]
        sys.exit(supervise(name, command, allowed))


def main(name: str, argv: Sequence[str] | None = None) -> None:
    """Run the stage ``name`` from the command line: parse, check, track, run, publish."""
    stop_on_sigterm()
    with refusals_said(name):
        declaration = load_stage(name)
        argv = sys.argv[1:] if argv is None else argv
        if kubeflow.is_task(argv):
            kubeflow.take_variables(argv)
            watch_over(name, argv)
        task, flags = kubeflow.unwrap(declaration, argv)
        stage = parse(declaration, flags)
        if task:
            stage = task.own_scratch(stage)
        check_inputs(stage)
        start_several(stage, argv)
        if stage.resources.gpu:  # it makes feature maps, here perhaps on a CPU
            keep_freed_memory()
        with stop_put_off():
            from components.tracking import Run, track

        if not this_process().first:  # it helps the first, and leaves no traces
            work_of(name).run(stage, Run())
            return
        # What only an unfinished stage needs stays until all is told: it may still be killed.
        with sole_use(stage):
            with (
                track(stage) as run,
                refusals_said(name),  # before MLflow has the run
                whole_outputs(stage) as aside,
                refusals_named(),
            ):
                work_of(name).run(aside, run)
            if task:
                task.report(stage, run)
