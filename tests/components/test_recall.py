import json

import numpy as np
import pytest

from components.scoring import recall
from components.scoring.recall import RecallCounter, recall_metrics

# Two objects; the proposals, best first, overlap them by 0.5, 1.0 (object 1) and 0.7 (object 2).
TRUTH = np.array([[0, 0, 10, 10], [100, 0, 110, 10]], np.float32)
PROPOSALS = np.array([[0, 0, 10, 5], [0, 0, 10, 10], [100, 0, 110, 7]], np.float32)


def recall_table(truths, proposals, **limits):
    counter = RecallCounter(**limits)
    for truth, proposed in zip(truths, proposals, strict=True):
        counter.add(truth, proposed)
    return counter.table()


def test_recall_by_hand() -> None:
    table = recall_table([TRUTH], [PROPOSALS], counts=(1, 2, 3), ious=(0.5, 0.7, 0.75))
    assert table.tolist() == [
        [0.5, 0.0, 0.0],  # one proposal: object 1 at exactly 0.5
        [0.5, 0.5, 0.5],  # two: object 1 at 1.0
        [1.0, 1.0, 0.5],  # three: object 2 too, at exactly 0.7
    ]


def test_images_weigh_by_their_objects() -> None:
    other = np.array([[0, 0, 8, 8], [20, 0, 28, 8]])
    table = recall_table([TRUTH, other], [PROPOSALS, np.zeros((0, 4))], counts=(3,), ious=(0.5,))
    assert table.tolist() == [[0.5]]


def test_one_proposal_may_cover_two_objects() -> None:
    twins = np.array([[0, 0, 10, 10], [0, 0, 10, 8]])
    assert recall_table([twins], [twins[:1]], counts=(1,), ious=(0.5,)).tolist() == [[1.0]]


def test_an_image_without_objects_changes_nothing() -> None:
    empty = np.zeros((0, 4), np.float32)
    with_it = recall_table([TRUTH, empty], [PROPOSALS, PROPOSALS])
    assert np.array_equal(with_it, recall_table([TRUTH], [PROPOSALS]))


def test_no_object_at_all_gives_no_metric() -> None:
    table = recall_table([np.zeros((0, 4))], [PROPOSALS])
    assert np.isnan(table).all()
    assert recall_metrics(table) == {}


def test_chunks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = recall_table([TRUTH], [PROPOSALS])
    monkeypatch.setattr(recall, "CHUNK", 1)
    assert np.array_equal(recall_table([TRUTH], [PROPOSALS]), whole)


def test_metrics_are_plain_numbers() -> None:
    table = recall_table([TRUTH], [PROPOSALS], counts=(1, 3))
    metrics = recall_metrics(table, counts=(1, 3))
    # IoU 0.50 to 0.95: object 1 alone, at the first threshold; then 1 at all, 2 at five of ten.
    assert metrics == pytest.approx({"AR_1": 0.05, "AR_3": 0.75, "R50_1": 0.5, "R50_3": 1.0})
    json.dumps(metrics, allow_nan=False)
