"""validate_onnx: an equal model passes, one spoiled weight does not."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from PIL import Image
from torch import nn

from components.dataset.index import write_index
from components.errors import CheckFailed, InputError
from components.export_onnx import ExportOnnx
from components.export_onnx.run import run as export
from components.networks.checkpoint import save_checkpoint
from components.tracking import Run
from components.validate_onnx import ValidateOnnx
from components.validate_onnx.agreement import Agreement, Found, Tolerance, combine, compare
from components.validate_onnx.run import run
from components.validate_onnx.timing import latencies, timing_table
from models.faster_rcnn import Architecture, FasterRCNN
from models.parameters import (
    AnchorParameters,
    DetectionParameters,
    InputParameters,
    ProposalParameters,
    RoIHeadParameters,
)

TOLERANCE = Tolerance(box=0.1, score=0.01)
LIMITS = DetectionParameters(score_threshold=0.5, max_detections=3)


def found(*rows):
    """Detections from (x1, score, label): boxes of 10 x 10 at (x1, 0)."""
    boxes = np.array([[x, 0, x + 10, 10] for x, _, _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score, _ in rows], np.float32)
    return Found(boxes, scores, np.array([label for _, _, label in rows], np.int64))


def agreement(expected, actual):
    return compare(expected, actual, LIMITS, TOLERANCE, "here")


def test_order_does_not_count():
    one = found((0, 0.9, 1), (20, 0.8, 2))
    other = found((20.05, 0.805, 2), (0, 0.9, 1))
    result = agreement(one, other)
    assert (result.detections, result.unmatched) == (4, 0)
    assert result.box_error == pytest.approx(0.05, abs=1e-5)
    assert result.score_error == pytest.approx(0.005, abs=1e-5)


@pytest.mark.parametrize(
    "other", [found((0.2, 0.9, 1)), found((0, 0.88, 1)), found((0, 0.9, 2)), found()]
)
def test_another_box_score_or_class_is_no_equal(other):
    result = agreement(found((0, 0.9, 1)), other)
    assert result.unmatched == result.detections > 0
    assert result.worst[0] > 1
    assert "class 1 at (0.0, 0.0, 10.0, 10.0) with score 0.9000" in result.worst[1]


def test_a_detection_too_many_is_found():
    result = agreement(found((0, 0.9, 1)), found((0, 0.9, 1), (50, 0.8, 1)))
    assert result.unmatched == 1
    assert result.worst[1].startswith("here: ONNX's class 1 at (50.0")


def test_what_scores_at_the_threshold_may_be_on_one_side_only():
    assert agreement(found((0, 0.9, 1), (50, 0.505, 1)), found((0, 0.9, 1))).unmatched == 0
    assert agreement(found((0, 0.9, 1), (50, 0.52, 1)), found((0, 0.9, 1))).unmatched == 1


def test_the_last_place_of_a_full_list_may_differ():
    one = found((0, 0.9, 1), (20, 0.8, 1), (40, 0.7, 1))
    other = found((0, 0.9, 1), (20, 0.8, 1), (60, 0.7, 1))
    assert agreement(one, other).unmatched == 0


def test_nothing_agrees_with_nothing():
    assert agreement(found(), found()) == Agreement()
    assert combine([]) == Agreement()


def test_scores_that_are_not_numbers_fail():
    result = agreement(found((0, 0.9, 1)), found((0, np.nan, 1)))
    assert result.unmatched == 1


def test_median_latency():
    calls = []
    both = {"a": lambda images: calls.append("a"), "b": lambda images: calls.append("b")}
    result = latencies(both, np.zeros(1), runs=3)
    assert calls == ["a", "b"] * 5
    assert set(result) == {"a", "b"}
    table = timing_table({2: {"PyTorch": 40.0}})
    assert table.splitlines()[1].split() == ["2", "PyTorch", "40.0", "ms", "50.00", "images/s"]


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("validate")
    stage = ValidateOnnx(
        data=folder / "data",
        index=folder / "index.arrow",
        detector=folder / "detector.safetensors",
        model=folder / "model.onnx",
        metrics=folder / "metrics.json",
        scratch=folder / "scratch",
        batch_size=2,
        runs=1,
    )
    write_data(stage)
    network = random_network()
    save_checkpoint(stage.detector, network.state_dict(), network.architecture, {}, {"data": "d"})
    proposals = ProposalParameters(pre_nms=500, post_nms=40, min_size=4)
    metrics = folder / "export.json"
    export(
        ExportOnnx(
            detector=stage.detector, model=stage.model, metrics=metrics, proposals=proposals
        ),
        Run(),
    )
    return stage


def write_data(stage):
    stage.data.mkdir()
    rows = []
    for n, (width, height) in enumerate([(96, 64), (64, 96), (96, 64), (80, 70)]):
        noise = np.random.default_rng(n).integers(0, 255, (8, 8, 3), np.uint8)
        Image.fromarray(noise).resize((width, height)).save(stage.data / f"{n}.png")
        rows.append(
            {
                "image_id": n,
                "file": f"{n}.png",
                "split": "test",
                "width": width,
                "height": height,
                "sha256": str(n),
                "boxes": [[8.0, 8.0, 40.0, 40.0]],
                "labels": [1],
                "crowd": [False],
            }
        )
    write_index(stage.index, rows, ["a", "b"], "coco")


def random_network():
    torch.manual_seed(0)
    network = FasterRCNN(
        Architecture(
            backbone="tiny",
            norm="batch",
            classes=("a", "b"),
            input=InputParameters(short_side=64, long_side=96),
            anchors=AnchorParameters(scales=(1.0, 2.0)),
            roi=RoIHeadParameters(operator="align"),
        )
    ).eval()
    for conv in network.modules():
        if isinstance(conv, nn.Conv2d):  # PyTorch's own would let the signal fade to nothing
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    for layer, std in (
        (network.rpn.objectness, 0.5),
        (network.rpn.deltas, 0.5),
        (network.detector.class_scores, 2.0),
        (network.detector.box_deltas, 0.5),
    ):
        nn.init.normal_(layer.weight, std=std)
    return network


def test_an_equal_model_passes(stage, capsys):
    run(stage, Run())
    metrics = json.loads(stage.metrics.read_text())
    assert metrics["passed"] == 1
    assert metrics["detections"] > 50
    assert metrics["max_box_error"] < 0.05
    assert metrics["max_score_error"] < 0.0005
    assert metrics["difference"]["AP"] <= 0.001
    assert set(metrics["torch"]) == set(metrics["onnx"]) == {"AP", "AP50"}
    printed = capsys.readouterr().out
    assert "batch 4 x 49 x 55: " in printed
    assert "images/s" in printed
    timings = json.loads((stage.scratch / "timings.json").read_text())
    assert set(timings["latency_ms"]) == {"1", "2"}
    before = stage.metrics.read_bytes()
    run(replace(stage, runs=0), Run())
    assert stage.metrics.read_bytes() == before


@pytest.mark.parametrize("name", ["conv1", "rpn.deltas", "class_scores", "box_deltas"])
def test_one_spoiled_weight_fails(stage, tmp_path, name):
    spoiled = spoil(stage.model, tmp_path / "spoiled.onnx", name)
    with pytest.raises(CheckFailed) as error:
        run(replace(stage, model=spoiled, metrics=tmp_path / "metrics.json"), Run())
    message = str(error.value)
    assert "spoiled.onnx does not detect what" in message
    assert "The largest difference: batch " in message
    assert ".png" in message
    assert not (tmp_path / "metrics.json").exists()


def spoil(model, path, name):
    """A copy of a model with the largest weight of a layer halved."""
    proto = onnx.load(model)
    tensor = next(
        t for t in proto.graph.initializer if name in t.name and t.name.endswith("weight")
    )
    values = numpy_helper.to_array(tensor).copy()
    values.flat[np.abs(values).argmax()] /= 2
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(proto, path)
    return path


def test_ap_off_by_more_than_the_tolerance_fails(stage, monkeypatch):
    values = iter([{"AP": 0.5, "AP50": 0.7}, {"AP": 0.5, "AP50": 0.6989}])
    monkeypatch.setattr(
        "components.validate_onnx.run.coco_metrics", lambda index, split, found: next(values)
    )
    with pytest.raises(CheckFailed, match=r"AP50 on split 'test' is 0\.6989, .* is 0\.7000"):
        run(replace(stage, runs=0), Run())


def test_a_model_of_another_checkpoint_is_refused(stage, tmp_path):
    network = random_network()
    other = tmp_path / "other.safetensors"
    save_checkpoint(other, network.state_dict(), network.architecture, {}, {"data": "e"})
    with pytest.raises(InputError, match="was exported from another checkpoint"):
        run(replace(stage, detector=other), Run())


def test_a_damaged_file_fails_the_checker(stage, tmp_path):
    proto = onnx.load(stage.model)
    proto.graph.node[5].op_type = "NoSuchOperator"
    onnx.save(proto, tmp_path / "bad.onnx")
    with pytest.raises(CheckFailed, match=r"bad\.onnx: not a valid ONNX model"):
        run(replace(stage, model=tmp_path / "bad.onnx"), Run())


@pytest.mark.parametrize("setting", [{"batch_size": 0}, {"box_tolerance": 0}, {"ap_tolerance": 2}])
def test_impossible_settings_are_refused(stage, setting):
    (name,) = setting
    with pytest.raises(ValueError, match=f"^{name}: "):
        replace(stage, **setting)
