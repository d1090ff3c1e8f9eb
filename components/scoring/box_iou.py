"""Overlap of boxes in numpy, for what is measured after the network (recall, pictures).

Boxes are x1 y1 x2 y2 with an exclusive end.
"""

import numpy as np

TINY = np.finfo(np.float64).tiny
"""Keeps 0 / 0 at 0."""


def box_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of every box with every other: (N, 4), (M, 4) -> (N, M) float64.

    Two boxes without area overlap by 0.
    """
    shared = _intersection(boxes, others)
    union = _area(boxes)[:, None] + _area(others)[None, :] - shared
    return shared / np.maximum(union, TINY)


def box_coverage(boxes: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Share of each box's area that lies in each region: (N, 4), (M, 4) -> (N, M) float64."""
    return _intersection(boxes, regions) / np.maximum(_area(boxes), TINY)[:, None]


def _intersection(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Common area (N, M) in square pixels, in float64 whatever comes in."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 1, 4)
    others = np.asarray(others, np.float64).reshape(1, -1, 4)
    top_left = np.maximum(boxes[..., :2], others[..., :2])
    bottom_right = np.minimum(boxes[..., 2:], others[..., 2:])
    return np.clip(bottom_right - top_left, 0, None).prod(axis=2)


def _area(boxes: np.ndarray) -> np.ndarray:
    """Area (N,) in square pixels."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    return (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
