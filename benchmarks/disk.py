"""Training from files, as the stages do it: scenes, or BCCD where its folder is."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import yaml

from benchmarks.contenders import IMAGES, Batches
from benchmarks.ours import SOLVER
from benchmarks.scenes import scene, write_scenes
from benchmarks.validated import validated
from components.dataset.index import Index, read_index
from components.dataset.proposal_file import ImageProposals, ProposalFile, write_proposals
from components.dataset.workers import USUAL
from components.training.batches import Batch, TrainingSet, training_batches

ROOT = Path(__file__).parents[1]


def dvc_stages() -> tuple[str, ...]:
    """The stages of dvc.yaml, in the order of the pipeline, without check_params."""
    found = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    return tuple(name for name in found if name != "check_params")


def shared_folder() -> Path:
    """Where data sets and weights lie that are no part of the project: FOURSTEP_SHARED."""
    return Path(os.environ.get("FOURSTEP_SHARED", ROOT.parent / "shared"))


def bccd_index(folder: Path) -> tuple[Path, Index] | None:
    """The folder of BCCD and its index, which validate_data writes; None if it is not there."""
    data = shared_folder() / "data" / "bccd"
    if not data.is_dir():
        return None
    options = ("--train=trainval", "--on_bad_box=drop")
    return data, read_index(validated(data, folder, *options))


def scene_files(folder: Path, count: int, size: tuple[int, int]) -> tuple[Index, ProposalFile]:
    """Scenes written below the folder, and their proposals for step 2."""
    index = write_scenes(folder, count, size)
    path = folder / "proposals.arrow"
    found = (
        ImageProposals(number + 1, example.proposals.numpy(), np.ones(len(example.proposals)))
        for number, example in ((n, scene(*size, n)) for n in range(count))
    )
    write_proposals(path, found, checkpoint="", data=index.digest)
    return index, ProposalFile(path)


def loaded(dataset: TrainingSet, workers: int = USUAL, flip: bool = True) -> Batches:
    """Batches of the training split, read by the project's own loader."""

    def batches(count: int) -> Iterable[Batch]:
        return training_batches(
            dataset,
            split="train",
            batch_size=IMAGES,
            first=0,
            last=count,
            flip=flip,
            seed=SOLVER.seed,
            workers=workers,
        )

    return batches
