import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.boxes import (
    box_area,
    clip_boxes,
    decode_boxes,
    encode_boxes,
    flip_boxes,
    pairwise_iou,
    take_rows,
)

coordinate = st.floats(0, 1000, width=32)
side = st.floats(1, 500, width=32)
box = st.tuples(coordinate, coordinate, side, side).map(
    lambda v: [v[0], v[1], v[0] + v[2], v[1] + v[3]]
)
boxes = st.lists(box, min_size=1, max_size=8).map(torch.tensor)


def test_area_and_iou_by_hand():
    a = torch.tensor([[[0.0, 0, 10, 10]]])
    b = torch.tensor([[[5.0, 5, 15, 15], [0, 0, 10, 10], [20, 20, 30, 30], [0, 0, 0, 0]]])
    assert box_area(b).tolist() == [[100, 100, 100, 0]]
    assert pairwise_iou(a, b)[0, 0].tolist() == pytest.approx([25 / 175, 1, 0, 0])


def test_encoding_by_hand():
    # Faster R-CNN eq. 2: centre moved by 5 of 10 px, width doubled, height halved.
    delta = encode_boxes(torch.tensor([5.0, 2.5, 25, 7.5]), torch.tensor([5.0, 0, 15, 10]))
    assert delta.tolist() == pytest.approx([0.5, 0.0, math.log(2), -math.log(2)])


def test_empty_boxes():
    assert pairwise_iou(torch.zeros(2, 0, 4), torch.zeros(2, 3, 4)).shape == (2, 0, 3)
    assert encode_boxes(torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0, 4)


def test_padding_encodes_to_finite_values():
    assert encode_boxes(torch.zeros(1, 4), torch.tensor([[0.0, 0, 8, 8]])).isfinite().all()


@given(boxes, boxes)
def test_decoding_inverts_encoding(target, reference):
    n = min(len(target), len(reference))
    target, reference = target[:n].double(), reference[:n].double()
    # Sides within the limit of tw and th.
    decoded = decode_boxes(encode_boxes(target, reference), reference)
    small = ((target[:, 2:] - target[:, :2]) / (reference[:, 2:] - reference[:, :2]) < 60).all(1)
    assert torch.allclose(decoded[small], target[small], atol=1e-6)


def test_decoding_never_overflows():
    reference = torch.tensor([0.0, 0, 100, 100])
    assert decode_boxes(torch.tensor([0.0, 0, 1e4, 1e4]), reference).isfinite().all()


@given(boxes, boxes)
@settings(max_examples=50)
def test_iou_is_symmetric_and_at_most_one(a, b):
    iou = pairwise_iou(a[None], b[None])[0]
    assert torch.allclose(iou, pairwise_iou(b[None], a[None])[0].T, atol=1e-6)
    assert ((iou >= 0) & (iou <= 1 + 1e-5)).all()
    assert torch.allclose(
        pairwise_iou(a[None], a[None])[0].diagonal(), torch.ones(len(a)), atol=1e-3
    )


@given(boxes)
def test_flipping_twice_changes_nothing(a):
    assert torch.allclose(flip_boxes(flip_boxes(a, 1500.0), 1500.0), a, atol=1e-3)


def test_flip_by_hand():
    assert flip_boxes(torch.tensor([10.0, 5, 30, 40]), 100.0).tolist() == [70, 5, 90, 40]


def test_clipping_uses_each_images_own_size():
    sizes = torch.tensor([[20, 30], [10, 10]])
    clipped = clip_boxes(torch.tensor([[[-5.0, -5, 50, 50]], [[2.0, 3, 50, 50]]]), sizes)
    assert clipped.tolist() == [[[0, 0, 30, 20]], [[2, 3, 10, 10]]]


def test_take_rows():
    values = torch.arange(12.0).reshape(1, 3, 4)
    assert take_rows(values, torch.tensor([[2, 0]])).tolist() == [[[8, 9, 10, 11], [0, 1, 2, 3]]]
