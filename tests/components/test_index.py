import numpy as np
import pytest

from components.dataset.index import read_index, write_index
from components.errors import InputError


def row(file, boxes, split="train", image_id=1):
    return {
        "image_id": image_id,
        "file": file,
        "split": split,
        "width": 30,
        "height": 20,
        "sha256": "00",
        "boxes": boxes,
        "labels": [1] * len(boxes),
        "crowd": [False] * len(boxes),
    }


def test_rows_come_back_sorted_by_file_and_by_split(tmp_path):
    rows = [row("b.png", [[1, 2, 3, 4], [5, 6, 7, 8]], image_id=2), row("a.png", [], image_id=1)]
    rows.append(row("c.png", [[0, 0, 9, 9]], split="test", image_id=3))
    index = write_index(tmp_path / "i.arrow", rows, ["cat"], "coco")
    assert index.classes == ("cat",)
    assert index.rows("train").tolist() == [0, 1]
    assert index.rows("test").tolist() == [2]
    assert index.image(0).boxes.shape == (0, 4)
    assert index.image(1).boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert index.image(2).boxes.tolist() == [[0, 0, 9, 9]]
    assert index.image(1).crowd.dtype == np.bool_


def test_same_rows_same_bytes_other_rows_other_digest(tmp_path):
    first = write_index(tmp_path / "1", [row("a", []), row("b", [])], ["x"], "voc")
    write_index(tmp_path / "2", [row("b", []), row("a", [])], ["x"], "voc")
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    other = write_index(tmp_path / "3", [row("a", []), row("b", [[0, 0, 1, 1]])], ["x"], "voc")
    assert other.digest != first.digest


def test_what_is_no_index_is_named(tmp_path):
    (tmp_path / "x").write_text("no")
    with pytest.raises(InputError, match=r"x: not an index written by validate_data"):
        read_index(tmp_path / "x")


def test_an_absent_split_is_named(tmp_path):
    index = write_index(tmp_path / "1", [row("a", [])], ["x"], "voc")
    with pytest.raises(InputError, match="split 'test'"):
        index.rows("test")
