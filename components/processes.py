"""Which process this is, of those that run one stage together: torchrun starts them.

Without torchrun there is one. ``FOURSTEP_PROCESSES`` asks for more of those stages that can be run
by several (`Resources.several`); the others do not look at it.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from components import scratch
from components.contract import stage_name
from components.errors import InputError

VARIABLE = "FOURSTEP_PROCESSES"


@dataclass(frozen=True, slots=True)
class Process:
    """Process ``number`` of ``count``; on its own machine it has the number ``local``."""

    number: int = 0
    local: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether it is the one that writes: outputs, resume points, tracking, progress."""
        return self.number == 0


def this_process() -> Process:
    """The process by torchrun's environment; without torchrun, the only one."""
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
    if not all(name in os.environ for name in names):
        return Process()
    return Process(*(int(os.environ[name]) for name in names))


def start_several(stage: Any, arguments: Sequence[str]) -> None:
    """Have torchrun start the stage in as many processes as ``FOURSTEP_PROCESSES`` says.

    Returns if there is nothing to do: for one process, and in those that torchrun has started.

    Raises:
        InputError: torchrun started several of a stage that one has to run; or the variable is no
            number, or one that cannot share the stage's mini-batches.
    """
    if this_process().count > 1 and not stage.resources.several:
        raise InputError("this stage is run by one process; start it without torchrun")
    if "TORCHELASTIC_RUN_ID" in os.environ or not stage.resources.several:
        return
    if (count := wanted_processes()) > 1:
        check_shares(stage.solver.images_per_batch, count)
        os.environ[scratch.NAME] = stage.scratch.name
        become_torchrun(stage_name(stage), arguments, count)


def wanted_processes() -> int:
    """How many processes ``FOURSTEP_PROCESSES`` asks for; 1 without it.

    Raises:
        InputError: it is no positive whole number.
    """
    text = os.environ.get(VARIABLE) or "1"
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{VARIABLE}={text}: is no number of processes; give 1 or more")
    return int(text)


def check_shares(images_per_batch: int, processes: int) -> None:
    """Refuse a mini-batch that the processes cannot share equally.

    Raises:
        InputError: naming both numbers.
    """
    if images_per_batch % processes:
        raise InputError(
            f"solver.images_per_batch: {images_per_batch} images cannot be shared equally by "
            f"{processes} processes; give a multiple of {processes}, or other processes"
        )


def become_torchrun(name: str, arguments: Sequence[str], count: int) -> None:
    """Replace this process by torchrun, which starts a stage in ``count`` processes here."""
    sys.stdout.flush()
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    command = [sys.executable, "-m", *torchrun, "-m", f"components.{name}", *arguments]
    os.execv(sys.executable, command)
