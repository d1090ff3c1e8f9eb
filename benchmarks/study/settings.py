"""The settings of a training: a params.yaml with a seed, and perhaps another number of steps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.disk import shared_folder
from pipelines.sections import read_sections


def settings(
    params: Path, changes: Sequence[str], seed: int, iterations: int | None
) -> dict[str, Any]:
    """The sections of a settings file, with single values changed, a seed, and N iterations a step.

    Weights that do not lie where the file says are those in FOURSTEP_SHARED.
    """
    sections = read_sections(params, changes)
    weights = Path(sections["init_backbone"].get("weights", ""))
    if weights.suffix and not weights.exists():
        sections["init_backbone"]["weights"] = str(shared_folder() / "weights" / weights.name)
    for name, section in sections.items():
        if name.startswith(("train_", "finetune_")):
            solver = section.setdefault("solver", {})
            solver["seed"] = seed
            if iterations:
                solver["iterations"] = iterations
                solver["lr_drops"] = [max(1, iterations * 3 // 4)]
    return sections
