import numpy as np
import pytest

from components.scoring.box_iou import box_coverage, box_iou


def test_overlap_by_hand() -> None:
    # 100 and 100 square pixels, 50 in common: 50 / 150.
    boxes, others = [[0, 0, 10, 10]], [[0, 5, 10, 15], [0, 0, 10, 10], [10, 0, 20, 10]]
    assert box_iou(boxes, others) == pytest.approx(np.array([[1 / 3, 1, 0]]))
    assert box_coverage(boxes, others) == pytest.approx(np.array([[0.5, 1, 0]]))


def test_boxes_without_area_overlap_nothing() -> None:
    empty = [[3, 3, 3, 9]]
    assert box_iou(empty, empty) == 0
    assert box_coverage(empty, [[0, 0, 9, 9]]) == 0


@pytest.mark.parametrize("function", [box_iou, box_coverage])
def test_no_boxes(function) -> None:
    assert function(np.zeros((0, 4)), np.zeros((3, 4))).shape == (0, 3)
    assert function(np.zeros((2, 4)), np.zeros((0, 4))).shape == (2, 0)
