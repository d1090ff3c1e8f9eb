"""Whether two sets of detections are the same but for float error."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from models.parameters import DetectionParameters


@dataclass(frozen=True, slots=True)
class Found:
    """Detections of one image: boxes (N, 4) in input pixels, scores (N,), labels (N,) in 1..C."""

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, kw_only=True, slots=True)
class Tolerance:
    """Largest differences that count as equal: of coordinates in input pixels, of scores."""

    box: float
    score: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How well two sets of detections agree.

    detections: how many of both sides must have an equal on the other side; unmatched: how many
    lack it; box_error and score_error: largest among those that have it; worst: the largest
    difference in words, with its size in tolerances.
    """

    detections: int = 0
    unmatched: int = 0
    box_error: float = 0.0
    score_error: float = 0.0
    worst: tuple[float, str] = (0.0, "none")


def compare(
    expected: Found, actual: Found, limits: DetectionParameters, tolerance: Tolerance, place: str
) -> Agreement:
    """Look for the equal of each detection on the other side, both ways.

    Order does not count (equal scores may swap), nor do detections that score within the
    tolerance of the threshold, or of the last place on a full list: either side may drop those.

    Args:
        expected, actual: detections of one image.
        limits: with which both were made.
        tolerance: what counts as equal.
        place: where this is, for `Agreement.worst`.
    """
    border = _border(expected, actual, limits) + tolerance.score
    sides = [
        _one_way(a, b, border, tolerance, f"{place}: {text}")
        for a, b, text in ((expected, actual, "trained network's"), (actual, expected, "ONNX's"))
    ]
    return combine(sides)


def combine(parts: Iterable[Agreement]) -> Agreement:
    """The agreement of all parts together."""
    parts = list(parts)
    return Agreement(
        detections=sum(p.detections for p in parts),
        unmatched=sum(p.unmatched for p in parts),
        box_error=max((p.box_error for p in parts), default=0.0),
        score_error=max((p.score_error for p in parts), default=0.0),
        worst=max((p.worst for p in parts), default=(0.0, "none")),
    )


def _border(expected: Found, actual: Found, limits: DetectionParameters) -> float:
    """The score up to which a detection may be there on one side only."""
    full = [s for s in (expected, actual) if len(s.scores) >= limits.max_detections]
    return max([limits.score_threshold, *(float(s.scores.min()) for s in full)])


def _one_way(
    these: Found, others: Found, border: float, tolerance: Tolerance, text: str
) -> Agreement:
    required = np.flatnonzero(these.scores > border)
    if not len(required):
        return Agreement()
    box, score, distance = nearest(these, others, required, tolerance)
    matched = distance <= 1
    worst = int(distance.argmax())
    return Agreement(
        detections=len(required),
        unmatched=int((~matched).sum()),
        box_error=float(box[matched].max(initial=0)),
        score_error=float(score[matched].max(initial=0)),
        worst=(
            float(distance[worst]),
            f"{text} {_words(these, required[worst], box[worst], score[worst])}",
        ),
    )


def nearest(
    these: Found, others: Found, rows: np.ndarray, tolerance: Tolerance
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of some rows (R,) of ``these``, how far the most similar one of ``others`` is.

    Returns:
        Difference of the box in pixels, of the score, and the larger of the two in tolerances:
        each (R,), infinite where the others have none of the same class.
    """
    box = np.abs(these.boxes[rows, None] - others.boxes[None]).max(axis=2)
    score = np.abs(these.scores[rows, None] - others.scores[None])
    distance = np.maximum(box / tolerance.box, score / tolerance.score)
    distance[these.labels[rows, None] != others.labels[None]] = np.inf
    # One more column, so that there is a nearest one even where there are no others.
    padded = [np.pad(v, ((0, 0), (0, 1)), constant_values=np.inf) for v in (box, score, distance)]
    best = padded[2].argmin(axis=1)[:, None]
    far = [np.take_along_axis(v, best, axis=1)[:, 0] for v in padded]
    return far[0], far[1], far[2]


def _words(found: Found, row: int, box: float, score: float) -> str:
    corners = ", ".join(f"{v:.1f}" for v in found.boxes[row])
    subject = f"class {found.labels[row]} at ({corners}) with score {found.scores[row]:.4f}"
    if not np.isfinite(box):
        return f"{subject} has no counterpart"
    return f"{subject} is off by {box:.3g} pixels and {score:.3g} in score"
