"""Running stages one after the other, each on what others have written."""

from pathlib import Path

from components.command_line import arguments, path_arguments
from components.contract import load_stage
from components.main import main

INPUT = {"short_side": 64, "long_side": 80}
INIT = {"name": "tiny", "weights": "crops", "input": INPUT, "crops": {"epochs": 1}}
SOLVER = {"iterations": 6, "images_per_batch": 2, "log_every": 3, "workers": 0, "lr": 0.01}
LIMITS = {"pre_nms": 200, "post_nms": 50, "min_size": 2}
ANCHORS = {"scales": [0.5, 1.0], "ratios": [1.0]}
ROI = {"operator": "align", "size": 5}
BACKGROUND = {"background_iou_low": 0.0}
DETECTION = {"score_threshold": 0.0, "max_detections": 20}
TRAIN_RPN = {"solver": SOLVER, "anchors": ANCHORS}
TRAIN_DETECTOR = {"solver": SOLVER, "roi": ROI, "targets": BACKGROUND}
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
        paths = path_arguments(load_stage(stage), given, out)
        main(stage, [*paths, *arguments(section)])
        return out

    def four_steps(self, init: dict = INIT) -> dict[str, Path]:
        """Steps 0 to 4: the checkpoint of each step, and the proposals 1p and 3p."""
        backbone = self("init", "init_backbone", init) / "backbone"
        rpn = self("1", "train_rpn", TRAIN_RPN, backbone=backbone) / "rpn"
        propose = {"limits": LIMITS}
        first = self("1p", "generate_proposals", propose, rpn=rpn) / "proposals"
        given = {"backbone": backbone, "proposals": first}
        detector = self("2", "train_detector", TRAIN_DETECTOR, **given) / "detector"
        given = {"rpn": rpn, "detector": detector}
        third = self("3", "finetune", {"part": "rpn", "solver": SOLVER}, **given) / "network"
        again = self("3p", "generate_proposals", propose, rpn=third) / "proposals"
        section = {"part": "detector", "solver": SOLVER, "roi_targets": BACKGROUND}
        given = {"rpn": third, "detector": detector, "proposals": again}
        fourth = self("4", "finetune", section, **given) / "network"
        found = {"init": backbone.parent, "1": rpn, "1p": first, "2": detector}
        return found | {"3": third, "3p": again, "4": fourth}

    def deploy(self, network: Path, scale: int = 0, **unshared: Path) -> tuple[Path, Path]:
        """Evaluate, export, validate, register; what evaluate and register_model have written."""
        limits = {"proposals": LIMITS, "detection": DETECTION, "scale": scale}
        evaluated = self("evaluate", "evaluate", limits, detector=network, **unshared)
        model = self("export", "export_onnx", limits, detector=network) / "model"
        validated = self("validate", "validate_onnx", CHECKS, detector=network, model=model)
        registered = self(
            "register",
            "register_model",
            {},
            model=model,
            evaluation=evaluated / "metrics",
            validation=validated / "metrics",
        )
        return evaluated, registered
