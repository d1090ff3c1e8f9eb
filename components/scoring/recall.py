"""Recall of proposals: which share of the true boxes a proposal method covers at all.

A ground-truth box is covered at IoU t by n proposals if one of the image's n best-scored
proposals overlaps it by t or more. That is plain coverage: one proposal may cover two boxes.
Average recall is the mean over the IoU thresholds (Hosang et al. 2016, "What makes for
effective detection proposals?", here with COCO's ten thresholds 0.50, 0.55, ... 0.95).
"""

from collections.abc import Iterator, Sequence

import numpy as np

from components.dataset.index import Index
from components.dataset.proposal_file import ProposalFile
from components.scoring.box_iou import box_iou

COUNTS = (50, 100, 300, 1000, 2000)
"""Numbers of proposals an image, as the paper's figure of recall has them (and two below)."""

IOUS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""COCO's IoU thresholds, as exact decimals: `np.arange` would give 0.7000000000000002."""

CHUNK = 1_000_000
"""Most overlaps held at once (8 MB)."""


class RecallCounter:
    """Counts covered boxes, image by image: only the sums are held."""

    def __init__(self, counts: Sequence[int] = COUNTS, ious: Sequence[float] = IOUS) -> None:
        """Count for each number of proposals n and threshold t; an overlap of exactly t covers."""
        self._counts, self._ious = tuple(counts), np.asarray(ious, np.float64)
        self._covered = np.zeros((len(counts), len(ious)), np.int64)
        self._total = 0

    def add(self, truth: np.ndarray, proposed: np.ndarray) -> None:
        """One image: its true boxes (K, 4), crowd left out, and proposals (P, 4), best first.

        An image with fewer than n proposals counts with those it has.
        """
        self._total += len(truth)
        for rows in _chunks(truth, len(proposed)):
            best = best_overlaps(rows, proposed, self._counts)
            self._covered += (best[:, :, None] >= self._ious).sum(axis=1)

    def table(self) -> np.ndarray:
        """Recall (len(counts), len(ious)) in [0, 1]; all NaN if there was no true box."""
        if not self._total:
            return np.full(self._covered.shape, np.nan)
        return self._covered / self._total


def recall_of(proposals: ProposalFile, index: Index, split: str) -> np.ndarray:
    """Recall (len(COUNTS), len(IOUS)) of a file's proposals on the images of a split."""
    counter = RecallCounter()
    for row in index.rows(split):
        image = index.image(row)
        counter.add(image.boxes[~image.crowd], proposals.image(image.image_id).boxes)
    return counter.table()


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
