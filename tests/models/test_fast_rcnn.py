from dataclasses import replace

import torch
from torch import nn

from models.fast_rcnn import FastRCNN, sample_rois
from models.parameters import DetectionParameters, RoIHeadParameters, RoITargetParameters
from models.proposals import Proposals

TRUTH = torch.tensor([[[0.0, 0, 100, 100], [0, 0, 0, 0]]])
LABELS = torch.tensor([[2, 0]])


def generator():
    return torch.Generator().manual_seed(0)


def sample(proposals, **settings):
    boxes = torch.tensor([proposals], dtype=torch.float32)
    valid = torch.ones(1, len(proposals), dtype=torch.bool)
    parameters = RoITargetParameters(rois_per_batch=8, **settings)
    return sample_rois(boxes, valid, TRUTH, LABELS, parameters, generator())


def test_labels_and_thresholds_by_hand():
    rois = sample([[0, 0, 100, 60], [0, 0, 100, 30], [0, 0, 100, 5], [0, 0, 100, 50]])
    by_height = {
        int(box[3]): int(label)
        for box, label, used in zip(rois.boxes[0], rois.labels[0], rois.sampled[0], strict=True)
        if used
    }
    # 100 is the ground truth itself; at most 2 of 8 slots are foreground; IoU 0.05 is neither.
    assert sum(label == 2 for label in by_height.values()) == 2
    assert by_height[30] == 0
    assert 5 not in by_height


def test_background_down_to_zero_if_asked_for():
    rois = sample([[0, 0, 100, 5]], background_iou_low=0.0)
    assert rois.sampled.sum() == 2


def test_image_without_objects_gives_background_only():
    parameters = RoITargetParameters(rois_per_batch=4, background_iou_low=0.0)
    proposals = torch.tensor([[[0.0, 0, 50, 50], [10, 10, 90, 90]]])
    rois = sample_rois(
        proposals,
        torch.ones(1, 2, dtype=torch.bool),
        torch.zeros(1, 1, 4),
        torch.zeros(1, 1, dtype=torch.int64),
        parameters,
        generator(),
    )
    assert rois.sampled.sum() == 2
    assert (rois.labels == 0).all()


def detector(classes=2):
    head = nn.Sequential(nn.Flatten(), nn.Linear(4, 6))
    return FastRCNN(head, 6, classes, 16, RoIHeadParameters(operator="align", size=2)).eval()


def test_initialisation_of_the_paper():
    big = FastRCNN(nn.Identity(), 2000, 20, 16, RoIHeadParameters())
    assert abs(big.class_scores.weight.std().item() - 0.01) < 2e-4
    assert abs(big.box_deltas.weight.std().item() - 0.001) < 2e-5
    assert not big.class_scores.bias.any()
    assert not big.box_deltas.bias.any()


def test_detections_are_normalised_back_thresholded_and_separate_by_class():
    net = detector()
    with torch.no_grad():
        net.class_scores.weight.zero_()
        net.class_scores.bias.copy_(torch.tensor([0.0, 2.0, 2.0]))
        net.box_deltas.weight.zero_()
        net.box_deltas.bias.copy_(torch.tensor([1.0, 0, 0, 0, 0, 0, 0, 0]))
    proposals = Proposals(
        torch.tensor([[[10.0, 10, 30, 30], [11, 11, 31, 31], [50, 50, 60, 60]]]),
        torch.ones(1, 3),
        torch.tensor([[True, True, False]]),
    )
    settings = DetectionParameters(score_threshold=0.3, nms_iou=0.3, max_detections=5)
    with torch.no_grad():
        found = net.detect(torch.zeros(1, 1, 8, 8), proposals, torch.tensor([[128, 128]]), settings)
    assert found.counts.tolist() == [2]
    boxes = {
        int(label): box.tolist()
        for label, box in zip(found.labels[0, :2], found.boxes[0, :2], strict=True)
    }
    # tx = 1 x std 0.1 of 20 px moves class 1's box by 2 px.
    assert boxes[1] in ([12, 10, 32, 30], [13, 11, 33, 31])
    assert boxes[2] in ([10, 10, 30, 30], [11, 11, 31, 31])
    assert not found.boxes[0, 2:].any()
    unmoved = replace(settings, box_regression=False)
    with torch.no_grad():
        found = net.detect(torch.zeros(1, 1, 8, 8), proposals, torch.tensor([[128, 128]]), unmoved)
    assert found.counts.tolist() == [2]
    assert {tuple(b) for b in found.boxes[0, :2].tolist()} <= {(10, 10, 30, 30), (11, 11, 31, 31)}
    assert not found.scores[0, 2:].any()
