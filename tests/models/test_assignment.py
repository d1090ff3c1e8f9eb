import torch
from hypothesis import given
from hypothesis import strategies as st

from models import assignment
from models.assignment import IGNORED, NEGATIVE, POSITIVE, assign_anchors, best_match

NO_BOX = torch.zeros(1, 1, 4)


def all_usable(anchors, batch=1):
    return torch.ones(batch, len(anchors), dtype=torch.bool)


def test_thresholds_by_hand():
    truth = torch.tensor([[[0.0, 0, 100, 100]]])
    anchors = torch.tensor(
        [[0.0, 0, 100, 100], [0, 0, 100, 75], [0, 0, 100, 50], [0, 0, 100, 20], [200, 0, 300, 100]]
    )
    labels, match = assign_anchors(anchors, all_usable(anchors), truth)
    assert labels.tolist() == [[POSITIVE, POSITIVE, IGNORED, NEGATIVE, NEGATIVE]]
    assert match.tolist() == [[0, 0, 0, 0, 0]]


def test_best_anchors_of_a_box_are_positive_ties_included():
    truth = torch.tensor([[[0.0, 0, 100, 100]]])
    anchors = torch.tensor([[0.0, 0, 100, 40], [0, 60, 100, 100], [0, 0, 100, 35]])
    labels, _ = assign_anchors(anchors, all_usable(anchors), truth)
    assert labels.tolist() == [[POSITIVE, POSITIVE, IGNORED]]


def test_a_box_no_anchor_touches_makes_nothing_positive():
    # torchvision's Matcher and py-faster-rcnn label every zero-IoU anchor positive here.
    truth = torch.tensor([[[500.0, 500, 510, 510]]])
    anchors = torch.tensor([[0.0, 0, 16, 16], [16, 16, 32, 32]])
    labels, _ = assign_anchors(anchors, all_usable(anchors), truth)
    assert labels.tolist() == [[NEGATIVE, NEGATIVE]]


def test_image_without_objects_has_negatives_only():
    anchors = torch.tensor([[0.0, 0, 16, 16], [16, 16, 32, 32]])
    labels, _ = assign_anchors(anchors, all_usable(anchors), NO_BOX)
    assert labels.tolist() == [[NEGATIVE, NEGATIVE]]


def test_unusable_anchors_are_ignored_and_are_nobodys_best():
    truth = torch.tensor([[[0.0, 0, 100, 100]]])
    anchors = torch.tensor([[0.0, 0, 100, 60], [0, 0, 100, 50]])
    usable = torch.tensor([[False, True]])
    labels, _ = assign_anchors(anchors, usable, truth)
    assert labels.tolist() == [[IGNORED, POSITIVE]]


boxes = st.lists(
    st.tuples(*[st.integers(0, 60)] * 2, *[st.integers(4, 40)] * 2), min_size=1, max_size=12
).map(lambda v: torch.tensor([[x, y, x + w, y + h] for x, y, w, h in v], dtype=torch.float32))


@given(boxes, boxes)
def test_chunks_change_nothing(anchors, truth):
    whole = assign_anchors(anchors, all_usable(anchors), truth[None])
    whole_match = best_match(anchors[None], truth[None])
    limit = assignment.IOU_ELEMENTS
    assignment.IOU_ELEMENTS = 2 * len(truth)
    try:
        parts = assign_anchors(anchors, all_usable(anchors), truth[None])
        part_match = best_match(anchors[None], truth[None])
    finally:
        assignment.IOU_ELEMENTS = limit
    for a, b in zip((*whole, *whole_match), (*parts, *part_match), strict=True):
        assert torch.equal(a, b)


@given(boxes, boxes)
def test_every_touched_box_has_a_positive_anchor(anchors, truth):
    labels, _ = assign_anchors(anchors, all_usable(anchors), truth[None])
    iou = assignment.pairwise_iou(anchors[None], truth[None])[0]
    for column in iou.T:
        if column.max() > 0:
            assert (labels[0][column == column.max()] == POSITIVE).all()
