"""Fast R-CNN proper: the detector alone on proposals from elsewhere, and the paper's variants."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from components.dataset.proposal_file import ImageProposals, write_proposals
from tests.stage_runs import BACKGROUND, INIT, ROI, SOLVER, Runs

SECTION = {"solver": SOLVER, "roi": ROI, "targets": BACKGROUND}
NO_BOXES = SECTION | {"targets": BACKGROUND | {"box_loss_weight": 0}}


@pytest.fixture(scope="module")
def train(tmp_path_factory, demo_data, demo_index_path, demo_index):
    """Trains a detector on proposals that no RPN has made: boxes around the objects."""
    folder = tmp_path_factory.mktemp("build")
    run = Runs(folder, demo_data, demo_index_path)
    run.backbone = run("init", "init_backbone", INIT) / "backbone"
    random, found = np.random.Generator(np.random.PCG64(0)), []
    for row in demo_index.rows("train"):
        image = demo_index.image(row)
        boxes = np.repeat(image.boxes, 10, axis=0)
        boxes = np.float32(boxes + random.normal(0, 4, boxes.shape)).clip(0)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 2)
        scores = np.ones(len(boxes), np.float32)
        found.append(ImageProposals(image.image_id, boxes, scores))
    proposals = folder / "external.arrow"
    write_proposals(proposals, iter(found), checkpoint="", data="")

    def once(name, section, **inputs):
        given = {"backbone": run.backbone, "proposals": proposals, **inputs}
        return run(name, "train_detector", section, **given)

    once.backbone = run.backbone
    return once


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
