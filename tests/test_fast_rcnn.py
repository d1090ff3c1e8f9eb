"""Fast R-CNN proper: the detector alone on proposals from elsewhere, and the paper's variants."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from components.dataset.proposal_file import ImageProposals, write_proposals
from tests.stage_runs import BACKGROUND, DETECTION, INIT, ROI, SOLVER, Runs

SECTION = {"solver": SOLVER, "roi": ROI, "targets": BACKGROUND}
NO_BOXES = SECTION | {"targets": BACKGROUND | {"box_loss_weight": 0}}


@pytest.fixture(scope="module")
def train(tmp_path_factory, demo_data, demo_index_path, demo_index):
    """Trains a detector on proposals that no RPN has made."""
    folder = tmp_path_factory.mktemp("build")
    run = Runs(folder, demo_data, demo_index_path)
    run.backbone = run("init", "init_backbone", INIT) / "backbone"
    for split in ("train", "test"):
        found = map(around_objects, map(demo_index.image, demo_index.rows(split)))
        write_proposals(folder / f"{split}.arrow", found, checkpoint="", data="")

    def once(name, section, **inputs):
        given = {"backbone": run.backbone, "proposals": folder / "train.arrow", **inputs}
        return run(name, "train_detector", section, **given)

    once.run, once.backbone, once.test = run, run.backbone, folder / "test.arrow"
    return once


def around_objects(image):
    """Ten boxes around each object, which are no RPN's."""
    random = np.random.Generator(np.random.PCG64(image.image_id))
    boxes = np.repeat(image.boxes, 10, axis=0)
    boxes = boxes + random.normal(0, 4, boxes.shape)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 2)
    boxes = np.float32(boxes.clip(0, np.tile([image.width, image.height], 2)))
    return ImageProposals(image.image_id, boxes, np.ones(len(boxes), np.float32))


@pytest.fixture(scope="module")
def classifier(train):
    return train("classifier", NO_BOXES) / "detector"


def moved(one, other, part):
    """Which tensors of a part differ between two files."""
    one, other = load_file(one), load_file(other)
    names = [n for n in one.keys() & other.keys() if n.startswith(part)]
    assert names
    return {n for n in names if not torch.equal(one[n], other[n])}


def test_proposals_from_elsewhere_train_a_detector(train):
    out = train("external", SECTION)
    assert moved(train.backbone, out / "detector", "shared.")
    metrics = json.loads((out / "metrics").read_text())
    assert metrics["detector_box"] > 0


def test_a_detector_is_scored_on_proposals_from_elsewhere(train, demo_index):
    detector = train("external", SECTION) / "detector"
    given = {"detector": detector, "given_proposals": train.test}
    out = train.run("evaluate", "evaluate", {"detection": DETECTION}, **given)
    metrics = json.loads((out / "metrics").read_text())
    truth = [demo_index.image(row).boxes for row in demo_index.rows("test")]
    assert metrics["recall"]["shared"]["R50_300"] > 0.9
    found = json.loads((out / "detections").read_text())
    assert 0 < len(found) <= 20 * len(truth)
    assert "unshared" not in metrics


def test_scoring_a_detector_needs_an_rpn_or_proposals_of_its_split(train):
    detector = train("external", SECTION) / "detector"
    with pytest.raises(SystemExit, match="this checkpoint has no rpn"):
        train.run("nothing", "evaluate", {}, detector=detector)
    given = {"detector": detector, "given_proposals": train.test.with_name("train.arrow")}
    with pytest.raises(SystemExit, match=r"no proposals for 6 of the 6 images of split 'test'"):
        train.run("nothing", "evaluate", {}, **given)
    given["unshared_rpn"] = given["unshared_detector"] = detector
    with pytest.raises(SystemExit, match="given_proposals, unshared_rpn: give one"):
        train.run("nothing", "evaluate", {}, **given)


def test_as_spp_net_no_conv_learns(train):
    out = train("none", SECTION | {"trained_convs": "none"})
    assert not moved(train.backbone, out / "detector", "shared.")
    assert moved(train.backbone, out / "detector", "detector.head.")


def test_without_box_loss_only_classes_learn(train, classifier):
    metrics = json.loads((classifier.parent / "metrics").read_text())
    assert metrics["detector_box"] == 0
    assert metrics["loss"] == metrics["detector_class"]


def test_stage_wise_training_adds_box_regressors_to_a_fixed_classifier(train, classifier):
    out = train("stage-wise", SECTION, classifier=classifier)
    changed = moved(classifier, out / "detector", "")
    assert changed == {"detector.box_deltas.weight", "detector.box_deltas.bias"}
    metrics = json.loads((out / "metrics").read_text())
    assert metrics["detector_box"] > 0


def test_a_classifier_of_another_architecture_is_refused(train, classifier):
    other = SECTION | {"roi": {"operator": "pool", "size": 5}}
    with pytest.raises(SystemExit, match=r"detector: its architecture is .*align.* make .*pool"):
        train("other", other, classifier=classifier)


def test_box_regressors_without_a_box_loss_are_refused(train, classifier):
    with pytest.raises(SystemExit, match=r"targets\.box_loss_weight: with 0"):
        train("nothing", NO_BOXES, classifier=classifier)
