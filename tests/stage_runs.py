"""Running stages one after the other, each on what others have written."""

from pathlib import Path

from components.command_line import arguments
from components.contract import load_stage, roles
from components.main import main

INPUT = {"short_side": 64, "long_side": 80}
SOLVER = {"iterations": 6, "images_per_batch": 2, "log_every": 3, "workers": 0, "lr": 0.01}
LIMITS = {"pre_nms": 200, "post_nms": 50, "min_size": 2}
ANCHORS = {"scales": [0.5, 1.0], "ratios": [1.0]}
ROI = {"operator": "align", "size": 5}
BACKGROUND = {"background_iou_low": 0.0}
CHECKS = {"runs": 1, "unmatched_share": 0.1, "ap_tolerance": 0.05}
"""Of validate_onnx. Nearly untrained scores lie so close together that rounding turns more NMS
decisions."""


class Runs:
    """Runs stages in one folder and remembers where their outputs lie."""

    def __init__(self, folder: Path, data: Path, index: Path):
        self.folder, self.data, self.index = folder, data, index

    def __call__(self, use: str, stage: str, section: dict, **inputs: Path) -> Path:
        out = self.folder / use
        given = {"data": self.data, "index": self.index, **inputs}
        flags = []
        for name, role in roles(load_stage(stage)).items():
            if type(role).__name__ != "Input":
                flags += [f"--{name}", str(out / name)]
            elif name in given:
                flags += [f"--{name}", str(given[name])]
        main(stage, [*flags, *arguments(section)])
        return out
