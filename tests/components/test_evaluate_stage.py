"""The whole stage on untrained networks: what it writes, and that it does so the same way twice."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from components.contract import load_stage
from components.dataset.index import write_index
from components.errors import InputError
from components.evaluate import Evaluate
from components.evaluate.run import run, write_detections
from components.main import main
from components.networks.checkpoint import save_checkpoint
from components.networks.inference import ImageDetections
from components.tracking import Run
from models.faster_rcnn import Architecture, FasterRCNN
from models.parameters import (
    AnchorParameters,
    DetectionParameters,
    InputParameters,
    ProposalParameters,
    RoIHeadParameters,
)

CLASSES = ("cat", "dog.1")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of three test images (one without objects) and three untrained checkpoints."""
    folder = tmp_path_factory.mktemp("evaluate")
    rng = np.random.default_rng(0)
    rows = []
    for image_id, objects in enumerate(([[8, 8, 40, 40]], [], [[4, 4, 30, 50], [30, 8, 60, 40]])):
        size = (64, 64) if image_id else (72, 64)
        pixels = rng.integers(0, 255, (size[1], size[0], 3), np.uint8)
        Picture.fromarray(pixels).save(folder / f"{image_id}.png")
        row = {"image_id": image_id, "file": f"{image_id}.png", "split": "test", "sha256": ""}
        row |= {"width": size[0], "height": size[1], "boxes": objects}
        rows.append(row | {"labels": [1] * len(objects), "crowd": [False] * len(objects)})
    write_index(folder / "index.arrow", rows, list(CLASSES), "coco")
    anchors, roi = AnchorParameters(scales=(1.0, 2.0)), RoIHeadParameters()
    for name, parts in {
        "shared": {"anchors": anchors, "roi": roi},
        "rpn": {"anchors": anchors},
        "detector": {"roi": roi},
        "other": {"anchors": anchors, "roi": roi, "classes": ("cow",)},
    }.items():
        save_network(folder / f"{name}.safetensors", parts)
    return folder


def save_network(path: Path, parts: dict) -> None:
    torch.manual_seed(0)
    rule = InputParameters(short_side=64, long_side=128)
    common = {"backbone": "tiny", "norm": "batch", "classes": CLASSES, "input": rule}
    architecture = Architecture(**(common | parts))
    save_checkpoint(path, FasterRCNN(architecture).state_dict(), architecture, {}, {})


def stage_of(inputs: Path, folder: Path, **changes) -> Evaluate:
    stage = Evaluate(
        data=inputs,
        index=inputs / "index.arrow",
        detector=inputs / "shared.safetensors",
        unshared_rpn=inputs / "rpn.safetensors",
        unshared_detector=inputs / "detector.safetensors",
        metrics=folder / "metrics.json",
        curves=folder / "curves",
        pictures=folder / "pictures",
        report=folder / "report.html",
        detections=folder / "detections.json",
        pictures_each=1,
        detection=DetectionParameters(score_threshold=0.0),
        proposals=ProposalParameters(pre_nms=100, post_nms=20, min_size=1.0),
    )
    return dataclasses.replace(stage, **changes)


def test_the_stage_writes_everything_and_the_same_bytes_again(inputs: Path, tmp_path: Path) -> None:
    for name in ("once", "again"):
        (tmp_path / name).mkdir()
        run(stage_of(inputs, tmp_path / name), Run())
    files = sorted(p.relative_to(tmp_path / "once") for p in (tmp_path / "once").rglob("*.*"))
    assert [str(f) for f in files] == [
        "curves/mean_precision.csv",
        "curves/precision_recall.csv",
        "curves/recall_count.csv",
        "curves/recall_iou.csv",
        "detections.json",
        "metrics.json",
        "pictures/best_1.png",
        "pictures/worst_1.png",
        "report.html",
    ]
    for file in files:
        assert (tmp_path / "once" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()
    metrics = json.loads((tmp_path / "once/metrics.json").read_text())
    assert set(metrics) == {"shared", "unshared", "recall"}
    assert {"AP", "AP50", "AP75", "AP50_all_points", "AP50_11_point"} <= set(metrics["shared"])
    assert list(metrics["unshared"]["class"]) == ["cat"]
    assert set(metrics["recall"]) == {"unshared", "shared"}
    found = json.loads((tmp_path / "once/detections.json").read_text())
    assert {d["image_id"] for d in found} <= {0, 1, 2}
    assert {d["category_id"] for d in found} <= {1, 2}


def test_detections_are_rounded_coco_results(tmp_path: Path) -> None:
    boxes = np.array([[1.00004, 2, 4.5, 8.25]], np.float32)
    found = ImageDetections(7, boxes, np.array([1 / 3], np.float32), np.array([2]))
    write_detections(tmp_path / "found.json", [found])
    assert json.loads((tmp_path / "found.json").read_text()) == [
        {"image_id": 7, "category_id": 2, "bbox": [1.0, 2.0, 3.5, 6.25], "score": 0.333333}
    ]


def test_no_detections_are_an_empty_list(tmp_path: Path) -> None:
    write_detections(tmp_path / "found.json", [])
    assert json.loads((tmp_path / "found.json").read_text()) == []


def test_swapped_checkpoints_are_refused(inputs: Path, tmp_path: Path) -> None:
    stage = stage_of(inputs, tmp_path, unshared_rpn=inputs / "detector.safetensors")
    with pytest.raises(InputError, match=r"detector.safetensors: this checkpoint has no rpn"):
        run(stage, Run())


def test_a_detector_of_other_classes_is_refused(inputs: Path, tmp_path: Path) -> None:
    stage = stage_of(inputs, tmp_path, detector=inputs / "other.safetensors")
    with pytest.raises(InputError, match=r"other.safetensors: .*cow.*cat"):
        run(stage, Run())


@pytest.mark.parametrize(("name", "value"), [("batch_size", 0), ("pictures_each", -1)])
def test_impossible_values_are_refused(name: str, value: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{name}: {value} is not allowed"):
        stage_of(tmp_path, tmp_path, **{name: value})


def test_help_comes_from_the_declaration(capsys: pytest.CaptureFixture[str]) -> None:
    assert load_stage("evaluate") is Evaluate
    with pytest.raises(SystemExit, match="0"):
        main("evaluate", ["--help"])
    shown = capsys.readouterr().out
    assert "--proposals.post_nms" in shown
    assert "(default: 300)" in shown
