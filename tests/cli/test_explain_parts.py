"""What explain shows of RoI pooling, of the four steps and of the anchors' grid."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from cli.explain.anchor_pictures import label_square, spread
from cli.explain.anchors import grid
from cli.explain.pooling_pictures import draw_pooling, window_boxes
from cli.explain.roi_pooling import largest, pooled_roi, sub_windows
from cli.explain.steps import STEPS, joint_network, parts, step_network, step_table
from components.dataset.proposal_file import ImageProposals, write_proposals
from components.finetune import Finetune
from components.finetune.run import run as finetune
from components.networks.checkpoint import save_checkpoint
from components.tracking import Run
from components.train_detector import TrainDetector
from components.train_detector.run import run as train_detector
from components.train_joint import TrainJoint
from components.train_joint.run import run as train_joint
from components.train_rpn import TrainRpn
from components.train_rpn.run import run as train_rpn
from components.training.parameters import SolverParameters
from components.training.solver import trained_parameters
from models.faster_rcnn import Architecture, FasterRCNN
from models.parameters import AnchorParameters, InputParameters, RoIHeadParameters
from models.roi_pooling import pool_rois

ANCHORS = AnchorParameters(scales=(0.5, 1.0), ratios=(1.0, 1.5))


def architecture(classes=("a", "b"), backbone="tiny", norm="batch", **changes):
    whole = Architecture(
        backbone=backbone,
        norm=norm,
        classes=classes,
        input=InputParameters(short_side=64, long_side=80),
        anchors=ANCHORS,
        roi=RoIHeadParameters(operator="pool", size=7),
    )
    return replace(whole, **changes)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return FasterRCNN(architecture()).eval()


def test_sub_windows_by_hand():
    # Cells 0 to 3 (the last one counts) in two sub-windows of two cells each way.
    windows = sub_windows(torch.zeros(1, 1, 4, 5), torch.tensor([0.0, 0, 24, 24]), 2, 8)
    assert windows.shape == (2, 2, 4, 5)
    assert windows[0, 0].nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert windows[1, 1].nonzero().tolist() == [[2, 2], [2, 3], [3, 2], [3, 3]]


def test_pooled_values_are_the_maxima_of_their_sub_windows(network):
    torch.manual_seed(1)
    features = torch.randn(1, 96, 12, 15)
    pooled = pooled_roi(network.detector, features, torch.tensor([10.0, 5, 101, 88]))
    for row in range(7):
        for column in range(7):
            cells = pooled.cells[pooled.windows[row, column]]
            assert pooled.pooled[row, column] == cells.max()
    strongest = pool_rois(features, pooled.roi[None, None], "pool", 7, 8)[0].mean(dim=(1, 2))
    assert pooled.channel == int(strongest.argmax())


def test_the_gradient_goes_to_each_maximum_once_a_sub_window(network):
    torch.manual_seed(1)
    pooled = pooled_roi(
        network.detector, torch.randn(1, 96, 12, 15), torch.tensor([8.0, 8, 90, 80])
    )
    assert pooled.gradient.sum() == 49
    maxima = set(pooled.pooled.flatten().tolist())
    assert set(pooled.cells[pooled.gradient > 0].tolist()) == maxima
    assert pooled.aligned is None


def test_a_roi_at_the_border_of_an_image_that_is_no_multiple_of_the_stride_is_drawn(network):
    # 85 x 61 pixels are 11 x 8 cells of 8 pixels, so the last ones reach over the border.
    roi = torch.tensor([60.0, 40, 85, 61])
    pooled = pooled_roi(network.detector, torch.rand(1, 96, 8, 11), roi)
    assert max(box[2] for box in window_boxes(pooled)) == 11
    assert draw_pooling(Image.new("RGB", (85, 61)), pooled).width > 640


def test_the_largest_box_by_hand():
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 9, 2], [3, 3, 4, 4]])
    assert largest(boxes).tolist() == [0, 0, 9, 2]


def test_each_anchor_has_a_square_of_its_own_in_its_cell(network):
    features = torch.zeros(1, 96, 3, 4)
    anchors = grid(network.rpn, features, torch.tensor([[24, 32]]), ANCHORS)
    squares = [label_square(anchors, n) for n in range(len(anchors.boxes))]
    assert len(set(squares)) == len(anchors.boxes) == 3 * 4 * 4
    # The second ratio's first scale in the last cell.
    assert squares[-2] == (24, 20, 28, 24)
    assert torch.equal(anchors.of_cell(2, 3), anchors.boxes[-4:])


def test_spread_takes_the_middle_of_each_share():
    assert spread(torch.arange(6), 3).tolist() == [1, 3, 5]
    assert spread(torch.arange(2), 3).tolist() == [0, 1]
    assert spread(torch.arange(0), 3).tolist() == []


def test_the_table_has_every_parameter_once():
    for backbone, norm in (("tiny", "batch"), ("vgg16", "frozen"), ("mobilenet_v2", "frozen")):
        rows = step_table(architecture(backbone=backbone, norm=norm))
        with torch.device("meta"):
            whole = FasterRCNN(architecture(backbone=backbone, norm=norm))
        assert sum(row.parameters for row in rows) == sum(p.numel() for p in whole.parameters())


def test_the_table_is_the_papers():
    rows = {
        row.name: row.states for row in step_table(architecture(backbone="vgg16", norm="frozen"))
    }
    assert rows == {
        "first convs": dict.fromkeys(STEPS, "frozen"),
        "shared convs": {1: "trained", 2: "trained", 3: "frozen", 4: "frozen"},
        "RPN layers": {1: "trained", 2: "absent", 3: "trained", 4: "frozen"},
        "per-RoI head": {1: "absent", 2: "trained", 3: "frozen", 4: "trained"},
        "class scores and box deltas": {1: "absent", 2: "trained", 3: "frozen", 4: "trained"},
    }


class Reached(Exception):  # noqa: N818 (no error: where the test stops a stage)
    """A stage was about to train this network's modules."""


@pytest.fixture
def stages(tmp_path, monkeypatch, demo_data, demo_index, demo_index_path):
    """The training stages on untrained checkpoints, stopped where the training begins."""

    def stop(stage, run, network, trained, *rest):
        raise Reached(network, trained)

    for name in ("train_rpn", "train_detector", "finetune", "train_joint"):
        monkeypatch.setattr(f"components.{name}.run.train_stage", stop)
    whole = architecture(demo_index.classes, backbone="resnet18", norm="frozen")
    torch.manual_seed(0)
    tensors, path = FasterRCNN(whole).state_dict(), tmp_path / "network.safetensors"
    save_checkpoint(path, tensors, whole, {}, {})
    initial = replace(whole, anchors=None, roi=None)
    save_checkpoint(tmp_path / "backbone.safetensors", tensors, initial, {}, {})
    boxes, scores = np.array([[0, 0, 30, 30]], np.float32), np.ones(1, np.float32)
    given = (
        ImageProposals(demo_index.image(row).image_id, boxes, scores)
        for row in demo_index.rows("train")
    )
    write_proposals(tmp_path / "p.arrow", given, checkpoint="", data=demo_index.digest)
    outputs = {name: tmp_path / name for name in ("metrics", "curve", "page", "scratch")}
    common = {"data": demo_data, "index": demo_index_path, **outputs}
    common["solver"] = SolverParameters(iterations=1, images_per_batch=1, lr_drops=(1,), workers=0)
    backbone = {"backbone": tmp_path / "backbone.safetensors"}
    tuned = {"detector": path, "rpn": path, "network": tmp_path / "out"}
    proposals = {"proposals": tmp_path / "p.arrow"}
    return {
        1: (train_rpn, TrainRpn(**common, **backbone, rpn=tmp_path / "out", anchors=ANCHORS)),
        2: (
            train_detector,
            TrainDetector(
                **common, **backbone, **proposals, detector=tmp_path / "out",
                roi=whole.roi, target_statistics="fixed",
            ),
        ),
        3: (finetune, Finetune(**common, **tuned, part="rpn")),
        4: (finetune, Finetune(**common, **tuned, **proposals, part="detector")),
        "joint": (
            train_joint,
            TrainJoint(
                **common, **backbone, network=tmp_path / "out", anchors=ANCHORS, roi=whole.roi
            ),
        ),
    }  # fmt: skip


@pytest.mark.parametrize("step", [*STEPS, "joint"])
def test_a_step_trains_what_its_stage_trains(stages, step):
    run, stage = stages[step]
    with pytest.raises(Reached) as reached:
        run(stage, Run())
    network, trained = reached.value.args
    if step == "joint":
        expected, modules = joint_network(network.architecture)
    else:
        expected, modules = step_network(network.architecture, step)
    if step in (1, 2):  # the architecture of a stage lacks the other part by itself
        assert (network.rpn is None, network.detector is None) == (step == 2, step == 1)
    assert names(network, trained) == names(expected, modules)
    assert {k: len(v) for k, v in parts(network).items()} == {
        k: len(v) for k, v in parts(expected).items()
    }


def names(network, modules):
    """The names of what learns in a network."""
    learning = {id(parameter) for _, parameter in trained_parameters(modules)}
    return {name for name, parameter in network.named_parameters() if id(parameter) in learning}
