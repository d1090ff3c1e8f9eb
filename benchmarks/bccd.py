"""Goal 3 for real: the bccd preset's stages, then torchvision's joint training, both timed.

    FOURSTEP_SHARED=../shared python -m benchmarks bccd

Both read the same files, start from the same ImageNet weights, take the same number of images
(8 epochs), and are scored by the project's COCO AP on the test split. `FOURSTEP_BCCD_ITERATIONS`
shortens the trainings, to try it.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor
from torchvision.models.detection import FasterRCNN as TorchvisionFasterRCNN

from benchmarks.budget import Budget
from benchmarks.contenders import DETECTION
from benchmarks.disk import ROOT, dvc_stages, loaded, shared_folder
from benchmarks.inference import PROPOSALS
from benchmarks.ours import SOLVER, build_network
from benchmarks.table import Row
from benchmarks.timing import synchronise
from benchmarks.twin import (
    as_torchvision,
    to_device,
    torchvision_twin,
    twin_optimizer,
    twin_step,
)
from benchmarks.validated import validated
from components.command_line import arguments
from components.dataset.images import read_image
from components.dataset.index import Index, read_index
from components.networks.inference import ImageDetections
from components.scoring.average_precision import coco_metrics
from components.training.batches import TrainingSet
from components.training.solver import lr_at, set_lr

STAGES = dvc_stages()[dvc_stages().index("init_backbone") : dvc_stages().index("evaluate") + 1]
FOUR_STEPS = STAGES[STAGES.index("train_rpn") : STAGES.index("evaluate")]
"""Whose time counts against the joint training: all start-up, reading and writing included."""
NOTE = (
    "wall time of the six stages of the four steps, start-up included, against torchvision's joint "
    "training of the same images; AP on the test split by the same code"
)


def run(budget: Budget) -> list[Row]:
    """Seconds and AP50 of both."""
    folder = (budget.folder / "bccd").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "build", ignore_errors=True)  # else an interrupted training would go on
    preset = bccd_preset()
    index_path = index_for_stages(folder, preset)
    seconds = {name: run_stage(name, preset, folder) for name in STAGES}
    found = json.loads((folder / "build/evaluate/metrics.json").read_text())["shared"]
    print(f"seconds of the stages: {seconds}\nours {found}", file=sys.stderr)
    index = read_index(index_path)
    iterations = preset["train_rpn"]["solver"]["iterations"]
    twin, joint = train_twin(folder, index, iterations, budget)
    theirs = coco_metrics(index, "test", detections(twin, folder / "data", index, budget))
    ours = sum(seconds[name] for name in FOUR_STEPS)
    print(f"theirs {theirs}", file=sys.stderr)
    return [
        Row(
            name="bccd, wall time of the training",
            goal=3,
            ours=ours,
            theirs=joint,
            unit="s",
            ratio=joint / ours,
            target=1.0,
            note=NOTE,
        ),
        *(
            Row(
                name=f"bccd, {figure}",
                goal=3 if figure == "AP50" else None,
                ours=found[figure],
                theirs=theirs[figure],
                ratio=found[figure] / theirs[figure] if theirs[figure] else None,
                target=1.0 if figure == "AP50" else None,
            )
            for figure in ("AP50", "AP")
        ),
    ]


def bccd_preset() -> dict[str, Any]:
    """The preset, with the weights of the shared folder, shortened if asked for."""
    preset = yaml.safe_load((ROOT / "presets/bccd.yaml").read_text())
    weights = shared_folder() / "weights" / Path(preset["init_backbone"]["weights"]).name
    preset["init_backbone"]["weights"] = str(weights.absolute())
    if few := os.environ.get("FOURSTEP_BCCD_ITERATIONS"):
        for section in preset.values():
            if "solver" in section:
                section["solver"] |= {"iterations": int(few), "lr_drops": [int(few)]}
    return preset


def index_for_stages(folder: Path, preset: dict[str, Any]) -> Path:
    """The data set and its index, where dvc.yaml's commands look for them; the index's path."""
    data, index = folder / "data", folder / "build/validate_data/index.arrow"
    if not data.exists():
        data.symlink_to((shared_folder() / "data/bccd").absolute(), target_is_directory=True)
    index.parent.mkdir(parents=True)
    index.symlink_to(validated(data, folder / "validated", *arguments(preset["validate_data"])))
    return index


def run_stage(name: str, preset: dict[str, Any], folder: Path) -> float:
    """Run a stage by dvc.yaml's own command, in the folder; the seconds it took."""
    command = shlex.split(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][name]["cmd"])
    flags: list[str] = [sys.executable]
    for part in command[1:]:
        if part.startswith("${"):
            flags += ["--parameters", json.dumps(preset.get(part[2:-1], {}))]
        else:
            flags.append(part)
    environment = os.environ | {"FOURSTEP_TRACKING": "off", "PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    subprocess.run(flags, check=True, cwd=folder, env=environment, stdout=sys.stderr)
    return time.perf_counter() - start


def train_twin(
    folder: Path, index: Index, iterations: int, budget: Budget
) -> tuple[TorchvisionFasterRCNN, float]:
    """The trained twin, and the seconds that its iterations took."""
    weights = Path(bccd_preset()["init_backbone"]["weights"])
    network = build_network("mobilenet_v2", (480, 640), index.classes, weights)
    rule = network.architecture.input
    twin = torchvision_twin(network, PROPOSALS, DETECTION).to(budget.device).train()
    optimizer, losses = twin_optimizer(twin), []
    solver = replace(SOLVER, iterations=iterations, lr_drops=(max(1, iterations * 3 // 4),))
    start = time.perf_counter()
    batches = loaded(TrainingSet(folder / "data", index, rule), solver.workers)(iterations)
    for iteration, batch in enumerate(batches):
        set_lr(optimizer, lr_at(solver, iteration))
        inputs = to_device(*as_torchvision(batch), budget.device)
        losses.append(twin_step(twin, optimizer, *inputs, solver))
        if (iteration + 1) % solver.log_every == 0:
            recent = float(torch.stack(losses[-solver.log_every :]).mean())
            print(f"joint, iteration {iteration + 1}: loss {recent:.3f}", file=sys.stderr)
    synchronise(budget.device)
    return twin.eval(), time.perf_counter() - start


def detections(
    twin: TorchvisionFasterRCNN, data: Path, index: Index, budget: Budget
) -> list[ImageDetections]:
    """The twin's detections on the test split, in original pixels."""
    found = []
    with torch.inference_mode():
        for row in index.rows("test").tolist():
            image = index.image(row)
            pixels: Tensor = read_image(data / image.file).float() / 255
            result = {k: v.cpu().numpy() for k, v in twin([pixels.to(budget.device)])[0].items()}
            found.append(
                ImageDetections(image.image_id, result["boxes"], result["scores"], result["labels"])
            )
    return found
