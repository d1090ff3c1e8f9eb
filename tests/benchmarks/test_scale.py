import json

import pytest

from benchmarks.scale import Cost, decoding_seconds, make_data, rows

LINES = (
    "annotations, train: 9/9 in 00:07, 1.29/s\n"
    "images: 7/100, 2.95/s, 00:30 left\n"
    "images: 100/100 in {}, 38.5/s\n"
)


@pytest.mark.parametrize(
    ("text", "seconds"), [("00:25", 25), ("01:02", 62), ("1:00:01", 3601), ("00:00", 0)]
)
def test_decoding_is_what_its_progress_took(text, seconds):
    assert decoding_seconds(LINES.format(text)) == seconds


def test_a_stage_without_decoding_has_none():
    assert decoding_seconds("features: 100/100 in 00:25, 38.5/s\n") is None


def test_a_minute_is_asked_of_a_million_boxes_and_decoding_is_left_out():
    costs = {
        "validate_data": {1000: Cost(200, 9, 9, 1), 100_000: Cost(400, 70, 80, 30)},
        "evaluate": {1000: Cost(500, 1, 1), 100_000: Cost(1000, 1, 1)},
    }
    small, large, *peaks = rows(costs)
    assert (small.ours, small.target) == (8, None)
    assert (large.ours, large.target, large.reached) == (40, 60, True)
    assert [row.ratio for row in peaks] == [0.5, 0.5]
    assert [row.reached for row in peaks] == [None, False]


def test_one_image_in_ten_is_for_training_and_no_two_files_are_the_same(tmp_path):
    make_data(tmp_path, 20)
    files = {path.read_bytes() for path in (tmp_path / "images").iterdir()}
    assert len(files) == 20
    images = {
        split: json.loads((tmp_path / f"annotations/instances_{split}.json").read_text())["images"]
        for split in ("train", "test")
    }
    assert (len(images["train"]), len(images["test"])) == (2, 18)
