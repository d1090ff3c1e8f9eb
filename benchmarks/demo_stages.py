"""The stages of the four steps on a dozen demo scenes, wired as dvc.yaml wires them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.validated import validated
from cli.demo_data import make_demo_data
from components.command_line import arguments, path_arguments
from components.contract import load_stage
from pipelines.sections import stage_of

INPUT = {"short_side": 64, "long_side": 80}
LIMITS = {"pre_nms": 200, "post_nms": 50, "min_size": 2}
BACKGROUND = {"background_iou_low": 0.0}
SECTIONS: dict[str, dict[str, Any]] = {
    "init_backbone": {"name": "tiny", "weights": "crops", "input": INPUT, "crops": {"epochs": 1}},
    "train_rpn": {"anchors": {"scales": [0.5, 1.0], "ratios": [1.0]}},
    "generate_proposals_1": {"limits": LIMITS},
    "train_detector": {"roi": {"operator": "align", "size": 5}, "targets": BACKGROUND},
    "finetune_rpn": {"part": "rpn"},
    "generate_proposals_3": {"limits": LIMITS},
    "finetune_detector": {"part": "detector", "roi_targets": BACKGROUND},
}
"""Parameters by use of a stage, in the pipeline's order."""
INPUTS = {
    "init_backbone": {},
    "train_rpn": {"backbone": "init_backbone/backbone"},
    "generate_proposals_1": {"rpn": "train_rpn/rpn"},
    "train_detector": {
        "backbone": "init_backbone/backbone",
        "proposals": "generate_proposals_1/proposals",
    },
    "finetune_rpn": {"rpn": "train_rpn/rpn", "detector": "train_detector/detector"},
    "generate_proposals_3": {"rpn": "finetune_rpn/network"},
    "finetune_detector": {
        "rpn": "finetune_rpn/network",
        "detector": "train_detector/detector",
        "proposals": "generate_proposals_3/proposals",
    },
}
"""What a use reads of others: the file below the folder of all outputs, by flag."""
TRAININGS = ("train_rpn", "train_detector", "finetune_rpn", "finetune_detector")


def flags(
    use: str, data: Path, index: Path, read: Path, write: Path, solver: Mapping[str, Any]
) -> list[str]:
    """The command line of a use.

    Args:
        use: of `SECTIONS`.
        data: the data set's folder.
        index: its index.
        read: the folder that holds the other uses' outputs.
        write: the folder that gets this one's, below its name.
        solver: of the trainings.
    """
    section = SECTIONS[use] | ({"solver": dict(solver)} if use in TRAININGS else {})
    given = {"data": data, "index": index, **{k: read / v for k, v in INPUTS[use].items()}}
    paths = path_arguments(load_stage(stage_of(use)), given, write / use)
    return [*paths, *arguments(section)]


def make_index(folder: Path) -> tuple[Path, Path]:
    """A dozen training and six test scenes below a folder, and their index by validate_data.

    What is there already is not made again.
    """
    data = folder / "data"
    if not data.exists():
        make_demo_data(data, train_images=12, test_images=6)
    return data, validated(data, folder / "validated")
