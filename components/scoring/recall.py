"""Recall of proposals: which share of the true boxes a proposal method covers at all.

A ground-truth box is covered at IoU t by n proposals if one of the image's n best-scored
proposals overlaps it by t or more. That is plain coverage: one proposal may cover two boxes.
Average recall is the mean over the IoU thresholds (Hosang et al. 2016, "What makes for
effective detection proposals?", here with COCO's ten thresholds 0.50, 0.55, ... 0.95).
"""

from collections.abc import Iterator, Sequence

import numpy as np

from components.scoring.box_iou import box_iou

COUNTS = (50, 100, 300, 1000, 2000)
"""Numbers of proposals an image, as the paper's figure of recall has them (and two below)."""

IOUS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""COCO's IoU thresholds, as exact decimals: `np.arange` would give 0.7000000000000002."""

CHUNK = 1_000_000
"""Most overlaps held at once (8 MB)."""


def recall_table(
    ground_truth: Sequence[np.ndarray],
    proposals: Sequence[np.ndarray],
    counts: Sequence[int] = COUNTS,
    ious: Sequence[float] = IOUS,
) -> np.ndarray:
    """Recall for each number of proposals and each IoU threshold: (len(counts), len(ious)).

    Args:
        ground_truth: for each image its true boxes (K, 4), crowd boxes left out.
        proposals: for each image, in the same order, its proposals (P, 4) by falling score.
            An image with fewer than n proposals counts with those it has.
        counts: numbers of proposals n.
        ious: thresholds t; an overlap of exactly t covers.

    Returns:
        Fractions in [0, 1]; all NaN if there is no ground-truth box in any image.

    Raises:
        ValueError: the two lists are not equally long.
    """
    covered = np.zeros((len(counts), len(ious)), np.int64)
    total = 0
    thresholds = np.asarray(ious, np.float64)
    for truth, proposed in zip(ground_truth, proposals, strict=True):
        total += len(truth)
        for rows in _chunks(truth, len(proposed)):
            best = best_overlaps(rows, proposed, counts)
            covered += (best[:, :, None] >= thresholds).sum(axis=1)
    return covered / total if total else np.full(covered.shape, np.nan)


def best_overlaps(
    truth: np.ndarray, proposed: np.ndarray, counts: Sequence[int] = COUNTS
) -> np.ndarray:
    """Best IoU of each true box (K, 4) with the first n proposals: (len(counts), K)."""
    iou = box_iou(truth, proposed)
    return np.stack([iou[:, :count].max(axis=1, initial=0.0) for count in counts])


def recall_metrics(
    table: np.ndarray, counts: Sequence[int] = COUNTS, ious: Sequence[float] = IOUS
) -> dict[str, float]:
    """A recall table as metrics: for n proposals ``AR_n`` (mean over the IoUs) and ``R50_n``.

    Empty if there was no ground truth, since JSON has no NaN.
    """
    if np.isnan(table).any():
        return {}
    at_half = list(ious).index(0.5)
    average = {f"AR_{n}": float(row.mean()) for n, row in zip(counts, table, strict=True)}
    half = {f"R50_{n}": float(row[at_half]) for n, row in zip(counts, table, strict=True)}
    return average | half


def _chunks(truth: np.ndarray, proposals: int) -> Iterator[np.ndarray]:
    """The rows of `truth`, so many at a time that their overlaps stay below `CHUNK`."""
    step = max(1, CHUNK // max(1, proposals))
    for start in range(0, len(truth), step):
        yield truth[start : start + step]
