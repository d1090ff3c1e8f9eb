import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.dataset.index import Index, write_index
from components.errors import InputError
from components.scoring import average_precision
from components.scoring.average_precision import (
    all_points,
    coco_metrics,
    eleven_point,
    metric_name,
    precision_recall,
    score_detections,
    unique_metric_names,
)


@dataclass
class Found:
    """Detections as `components.networks.inference.ImageDetections` has them, without its torch."""

    image_id: int
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


def found(image_id: int, *detections: tuple[list[float], float, int]) -> Found:
    boxes = np.array([d[0] for d in detections], np.float32).reshape(-1, 4)
    scores = np.array([d[1] for d in detections], np.float32)
    return Found(image_id, boxes, scores, np.array([d[2] for d in detections], np.int64))


def index_of(
    folder: Path,
    images: dict[int, list[tuple[list[float], int, bool]]],
    classes: list[str] | None = None,
    layout: str = "coco",
) -> Index:
    rows: list[dict[str, Any]] = [
        {
            "image_id": image_id,
            "file": f"{image_id}.png",
            "split": "test",
            "width": 200,
            "height": 200,
            "sha256": "",
            "boxes": [box for box, _, _ in objects],
            "labels": [label for _, label, _ in objects],
            "crowd": [crowd for _, _, crowd in objects],
        }
        for image_id, objects in images.items()
    ]
    return write_index(folder / "index.arrow", rows, classes or ["cat", "dog"], layout)


ONE = pytest.approx(1.0)
"""COCOeval adds a spacing to its divisor, which leaves 0.9999999999999998."""

A, B, FAR = [0, 0, 50, 50], [100, 100, 150, 150], [0, 150, 40, 200]


# Four detections of three objects: correct, wrong, correct, wrong.
# recall 1/3 1/3 2/3 2/3, precision 1 1/2 2/3 1/2; the highest at or beyond: 1 2/3 2/3 1/2.
CORRECT = np.array([True, False, True, False])


def test_precision_recall_by_hand() -> None:
    recall, precision = precision_recall(CORRECT, 3)
    assert recall == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert precision == pytest.approx([1, 1 / 2, 2 / 3, 1 / 2])


def test_all_points_by_hand() -> None:
    assert all_points(*precision_recall(CORRECT, 3)) == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)


def test_eleven_point_by_hand() -> None:
    # 0 to 0.3: 1; 0.4 to 0.6: 2/3; 0.7 to 1: 0.
    expected = (4 * 1 + 3 * 2 / 3) / 11
    assert eleven_point(*precision_recall(CORRECT, 3)) == pytest.approx(expected)


def test_eleven_point_takes_a_recall_of_exactly_three_tenths() -> None:
    recall, precision = precision_recall(np.ones(3, bool), 10)
    assert eleven_point(recall, precision) == pytest.approx(4 / 11)


@pytest.mark.parametrize("function", [all_points, eleven_point])
def test_no_detection_has_precision_zero(function) -> None:
    assert function(*precision_recall(np.zeros(0, bool), 3)) == 0


def test_perfect_detections_score_one(tmp_path: Path) -> None:
    index = index_of(tmp_path, {7: [(A, 1, False), (B, 2, False)], 9: []})
    metrics = coco_metrics(index, "test", [found(7, (A, 0.9, 1), (B, 0.8, 2))])
    assert [metrics[k] for k in ("AP", "AP50", "AP75", "AR100")] == [ONE] * 4
    assert metrics["AP50_all_points"] == metrics["AP50_11_point"] == 1.0
    assert metrics["class"]["cat"]["AP"] == ONE
    # 50 x 50 pixels is medium: nothing to say of small and large.
    assert metrics["APm"] == ONE
    assert not {"APs", "APl"} & set(metrics)


def test_a_wrong_detection_above_the_right_one_halves_precision(tmp_path: Path) -> None:
    index = index_of(tmp_path, {7: [(A, 1, False)]}, ["cat"])
    metrics = coco_metrics(index, "test", [found(7, (FAR, 0.9, 1), (A, 0.8, 1))])
    assert metrics["AP50"] == pytest.approx(0.5)
    assert metrics["AP50_all_points"] == pytest.approx(0.5)
    assert metrics["AP50_11_point"] == pytest.approx(0.5)


def test_ap_is_the_mean_over_ten_thresholds(tmp_path: Path) -> None:
    index = index_of(tmp_path, {7: [(A, 1, False)]}, ["cat"])
    # 50 x 36 of 50 x 50: IoU 0.72, so correct at 0.50 to 0.70, five thresholds of ten.
    metrics = coco_metrics(index, "test", [found(7, ([0, 0, 50, 36], 0.9, 1))])
    assert (metrics["AP50"], metrics["AP75"]) == (ONE, 0.0)
    assert metrics["AP"] == pytest.approx(0.5)


def test_a_class_without_objects_is_left_out_of_mean_and_list(tmp_path: Path) -> None:
    index = index_of(tmp_path, {7: [(A, 1, False)]}, ["cat", "dog", "cow"])
    metrics = coco_metrics(index, "test", [found(7, (A, 0.9, 1), (B, 0.9, 2))])
    assert metrics["AP"] == ONE
    assert metrics["AP50_all_points"] == 1.0
    assert list(metrics["class"]) == ["cat"]
    json.dumps(metrics, allow_nan=False)


def test_no_detections_score_zero(tmp_path: Path) -> None:
    index = index_of(tmp_path, {7: [(A, 1, False)], 9: []})
    for nothing in ([], [found(7), found(9)]):
        metrics = coco_metrics(index, "test", nothing)
        assert metrics["AP"] == metrics["AP50_all_points"] == metrics["AP50_11_point"] == 0.0


@pytest.mark.parametrize("layout", ["coco", "voc"])
def test_detections_of_an_ignored_object_do_not_count(tmp_path: Path, layout: str) -> None:
    index = index_of(tmp_path, {7: [(A, 1, False), (B, 1, True)]}, ["cat"], layout)
    twice = found(7, (B, 0.9, 1), (B, 0.9, 1), (A, 0.8, 1))
    score = score_detections(index, "test", [twice])
    assert score.summary["AP"] == ONE
    assert score.summary["AP50_all_points"] == 1.0
    assert score.classes[0].objects == 1


def test_a_crowd_region_swallows_what_lies_in_it_but_a_difficult_object_does_not(
    tmp_path: Path,
) -> None:
    objects = {7: [(A, 1, False), ([100, 100, 200, 200], 1, True)]}
    # A quarter of the region: wholly inside, IoU 0.25.
    inside = [found(7, ([100, 100, 150, 150], 0.9, 1), (A, 0.8, 1))]
    crowd = coco_metrics(index_of(tmp_path, objects, ["cat"], "coco"), "test", inside)
    difficult = coco_metrics(index_of(tmp_path, objects, ["cat"], "voc"), "test", inside)
    assert (crowd["AP50"], difficult["AP50"]) == (ONE, pytest.approx(0.5))


def test_a_split_without_objects_is_refused(tmp_path: Path) -> None:
    index = index_of(tmp_path, {7: [(A, 1, True)], 9: []})
    with pytest.raises(InputError, match="'test' has no object"):
        coco_metrics(index, "test", [])


def test_detections_of_an_unknown_image_are_refused(tmp_path: Path) -> None:
    index = index_of(tmp_path, {7: [(A, 1, False)]})
    with pytest.raises(ValueError, match=r"not in the split: \[8\]"):
        coco_metrics(index, "test", [found(8, (A, 0.9, 1))])


def test_nothing_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco_metrics(index_of(tmp_path, {7: [(A, 1, False)]}), "test", [])
    assert capsys.readouterr() == ("", "")


def test_metric_names_keep_to_what_mlflow_allows() -> None:
    assert metric_name("traffic light") == "traffic light"
    assert metric_name("Größe") == "Größe"
    assert metric_name("a.b/c<d>") == "a_b_c_d_"
    assert metric_name("") == "_"
    assert unique_metric_names(["a.b", "a/b", "a_b_2", "a:b"]) == [
        "a_b",
        "a_b_2",
        "a_b_2_2",
        "a_b_3",
    ]


def test_figures_do_not_depend_on_how_many_images_are_matched_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = index_of(tmp_path, {n: [(A, 1, False), (B, 2, n % 2 == 0)] for n in (5, 3, 9, 1)})
    detections = [found(n, (A, 0.5, 1), (FAR, 0.5, 1), (B, 0.1 * n, 2)) for n in (9, 1, 5)]
    whole = score_detections(index, "test", detections).metrics()
    for block in (1, 3):
        monkeypatch.setattr(average_precision, "BLOCK", block)
        assert score_detections(index, "test", detections).metrics() == whole
