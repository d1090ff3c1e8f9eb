"""The four steps on an image pyramid, from training to the exported detector, on a dozen scenes."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cli.main import app
from cli.predict import predict
from components.dataset.proposal_file import ProposalFile
from components.networks.checkpoint import load_network, read_checkpoint
from components.onnx_model.detector import OnnxDetector
from models.parameters import InputParameters
from tests.stage_runs import (
    ANCHORS,
    BACKGROUND,
    CHECKS,
    DETECTION,
    INIT,
    INPUT,
    LIMITS,
    ROI,
    SOLVER,
    Runs,
)

SCALES = [48, 64, 96]
TESTED = {"proposals": LIMITS, "detection": DETECTION}
PYRAMID = INIT | {"input": INPUT | {"scales": SCALES, "roi_side": 20}}
RULE = InputParameters(**(INPUT | {"scales": tuple(SCALES), "roi_side": 20}))


@pytest.fixture(scope="module")
def steps(tmp_path_factory, demo_data, demo_index_path):
    """The outputs of steps 0 to 4, by use."""
    run = Runs(tmp_path_factory.mktemp("build"), demo_data, demo_index_path)
    run.outputs = run.four_steps(PYRAMID)
    return run


@pytest.fixture(scope="module")
def model(steps):
    """The detector exported at short side 96."""
    network = steps.outputs["4"]
    return steps("export", "export_onnx", TESTED | {"scale": 96}, detector=network) / "model"


def test_every_checkpoint_knows_its_scales(steps):
    for step in "1234":
        assert read_checkpoint(steps.outputs[step]).architecture.input == RULE


def test_proposals_come_from_all_scales_and_lie_in_the_image(steps, demo_index):
    proposals = ProposalFile(steps.outputs["1p"])
    for row in demo_index.rows("train"):
        image = demo_index.image(row)
        boxes = proposals.image(image.image_id).boxes
        assert len(boxes)
        assert (boxes >= 0).all()
        assert (boxes[:, 2:] <= np.array([image.width, image.height]) + 1e-3).all()


def test_the_frozen_feature_cache_changes_no_byte(steps):
    out = steps.outputs
    section = {"part": "rpn", "solver": SOLVER, "feature_cache_gb": 0.0}
    uncached = steps("3 uncached", "finetune", section, rpn=out["1"], detector=out["2"])
    assert (uncached / "network").read_bytes() == out["3"].read_bytes()


def test_worker_processes_change_no_byte(steps):
    section = {"solver": {**SOLVER, "workers": 2}, "anchors": ANCHORS}
    backbone = steps.outputs["init"] / "backbone"
    again = steps("1 workers", "train_rpn", section, backbone=backbone)
    assert (again / "rpn").read_bytes() == steps.outputs["1"].read_bytes()


def test_evaluation_on_the_pyramid_and_at_one_scale(steps):
    out, found = steps.outputs, {}
    unshared = {"unshared_rpn": out["1"], "unshared_detector": out["2"]}
    for scale in (0, 96):
        use = f"evaluate {scale}"
        section = TESTED | {"scale": scale}
        evaluated = steps(use, "evaluate", section, detector=out["4"], **unshared)
        metrics = json.loads((evaluated / "metrics").read_text())
        assert metrics["scale"] == scale
        assert {"shared", "unshared", "recall"} < set(metrics)
        found[scale] = (evaluated / "detections").read_bytes()
    assert found[0] != found[96]


def test_a_pyramid_is_not_exported_and_the_error_says_why_and_what_to_do(steps):
    message = (
        r"was trained on an image pyramid, short sides \(48, 64, 96\), and the ONNX file is a "
        r"detector at one scale: it has one input .* a run of the trunk for each scale.*"
        r"Give export_onnx\.scale and evaluate\.scale the same one of them, 96 say"
    )
    with pytest.raises(SystemExit, match=message):
        steps("no export", "export_onnx", TESTED, detector=steps.outputs["4"])
    assert not (steps.folder / "no export" / "model").exists()


def test_the_exported_detector_is_the_trained_one_at_its_scale(steps, model):
    assert OnnxDetector(model).metadata.resize == InputParameters(short_side=96, long_side=120)
    network = steps.outputs["4"]
    validated = steps("validate", "validate_onnx", CHECKS, detector=network, model=model)
    metrics = json.loads((validated / "metrics").read_text())
    assert (metrics["passed"], metrics["scale"]) == (1, 96)


def test_the_exported_detector_is_registered_with_its_own_figures_only(steps):
    network = steps.outputs["4"]
    _, registered = steps.deploy(network, scale=96)
    assert json.loads((registered / "metrics").read_text())["passed"] == 1
    whole = steps("evaluate whole", "evaluate", TESTED, detector=network)
    given = {"model": steps.folder / "export" / "model", "evaluation": whole / "metrics"}
    given["validation"] = steps.folder / "validate" / "metrics"
    with pytest.raises(SystemExit, match="evaluated on its whole image pyramid, but exported"):
        steps("refused", "register_model", {}, **given)


def test_predict_resizes_to_the_exported_scale(model, demo_data, tmp_path):
    images = sorted((demo_data / "images/test").glob("*.png"))[:2]
    found = predict(model, images, tmp_path / "found", score=0.0)
    assert [len(one["detections"]) > 0 for one in found] == [True, True]


def test_explain_shows_the_image_at_short_side(steps, demo_data, tmp_path):
    image = next((demo_data / "images/test").glob("*.png"))
    page = tmp_path / "page.html"
    command = ["explain", str(image), "--network", str(steps.outputs["4"])]
    command += ["--rpn", str(steps.outputs["1"]), "--output", str(page)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert page.exists()


@pytest.mark.parametrize("schedule", ["joint", "per_batch"])
def test_joint_training_on_a_pyramid(steps, schedule):
    section = {"solver": SOLVER, "anchors": ANCHORS, "roi": ROI, "roi_targets": BACKGROUND}
    section |= {"schedule": schedule, "proposals": LIMITS}
    backbone = steps.outputs["init"] / "backbone"
    trained = steps(schedule, "train_joint", section, backbone=backbone)
    network = load_network(trained / "network")
    assert network.architecture.input == RULE
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())


def test_another_scale_than_that_of_the_training_is_told_of_one_scale_too(steps):
    run = Runs(steps.folder / "plain", steps.data, steps.index)
    backbone = run("init", "init_backbone", INIT) / "backbone"
    section = {"solver": SOLVER, "anchors": ANCHORS, "roi": ROI, "roi_targets": BACKGROUND}
    section |= {"proposals": LIMITS}
    network = run("joint", "train_joint", section, backbone=backbone) / "network"
    tested = {}
    for scale in (0, 64, 96):
        evaluated = run(f"{scale}", "evaluate", TESTED | {"scale": scale}, detector=network)
        tested[scale] = json.loads((evaluated / "metrics").read_text())
    assert "scale" not in tested[0]
    assert tested[64] == tested[0]
    assert tested[96]["scale"] == 96
