import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from components.dataset.index import read_index
from components.errors import InputError
from components.validate_data import ValidateData
from components.validate_data import coco as coco_reader
from components.validate_data import run as stage_run
from components.validate_data import validation as checking
from components.validate_data.checks import RARE
from components.validate_data.run import image_ids, run

BOX = [2, 3, 10, 8]


class NoTracking:
    def tags(self, values):
        pass


class Coco:
    """A small COCO data set to spoil: one image with one box in each split."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.splits = {
            split: {"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
            for split in ("train", "test")
        }
        for split in self.splits:
            self.image(split, "a.png")
            self.box(split, BOX)

    def image(self, split, name, seed=None, size=(32, 24), **save):
        path = self.folder / "images" / split / name
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = len(list(self.folder.rglob("*.*"))) if seed is None else seed
        pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
        Image.fromarray(pixels).save(path, **save)
        images = self.splits[split]["images"]
        record = {"id": len(images) + 1, "file_name": name, "width": 32, "height": 24}
        images.append(record)
        return path

    def box(self, split, box, **more):
        boxes = self.splits[split]["annotations"]
        record = {"id": len(boxes) + 1, "image_id": 1, "category_id": 1, "bbox": box} | more
        boxes.append(record)

    def validate(self, **parameters):
        for split, content in self.splits.items():
            (self.folder / f"{split}.json").write_text(json.dumps(content))
        return validate(self.folder, **parameters)


def validate(folder, **parameters):
    """Run the stage; returns the folder with its outputs."""
    out = folder.parent / "out"
    out.mkdir(exist_ok=True)
    stage = ValidateData(
        data=folder,
        index=out / "index.arrow",
        metrics=out / "metrics.json",
        result=out / "result.json",
        report=out / "report.html",
        scratch=out / "scratch",
        **parameters,
    )
    run(stage, NoTracking())
    return out


def failed_checks(folder):
    """The rows that each check names; that classes are rare is no news here, all are."""
    result = json.loads((folder / "result.json").read_text())
    failed = {c["name"]: c["rows"] for c in result["checks"] if not c["success"]}
    failed.pop(f"each class has at least {RARE} boxes in train", None)
    return failed


@pytest.fixture
def coco(tmp_path):
    return Coco(tmp_path / "data")


def test_a_good_data_set_becomes_an_index(coco, capsys):
    coco.image("train", "none.png")
    coco.box("train", [0, 0, 32.2, 24], iscrowd=1)  # 0.2 px outside: rounding, clipped
    for content in coco.splits.values():
        content["categories"] = [{"id": 0, "name": "animals"}, {"id": 7, "name": "cat"}]
        for box in content["annotations"]:
            box["category_id"] = 7
    out = coco.validate()
    index = read_index(out / "index.arrow")
    assert index.classes == ("cat",)
    assert index.layout == "coco"
    first, empty = (index.image(row) for row in index.rows("train"))
    assert first.file == "images/train/a.png"
    assert first.boxes.tolist() == [[2, 3, 12, 11], [0, 0, 32, 24]]
    assert first.labels.tolist() == [1, 1]
    assert first.crowd.tolist() == [False, True]
    assert empty.boxes.shape == (0, 4)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["images"] == {"train": 2, "test": 1}
    assert metrics["images_without_objects"] == {"train": 1, "test": 0}
    assert metrics["boxes_by_class_train"] == {"cat": 2}
    assert metrics["dropped_boxes"] == 0
    result = json.loads((out / "result.json").read_text())
    assert result["success"]
    assert result["categories_without_boxes"] == ["animals"]
    assert "train 2 images (1 empty), 2 boxes" in capsys.readouterr().out


def test_the_same_data_gives_the_same_bytes(coco):
    coco.box("test", [0, 0, 1, 1])
    out = coco.validate(on_bad_box="drop")
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert len(before) == 4
    coco.validate(on_bad_box="drop")
    assert before == {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert not any(str(coco.folder).encode() in data for data in before.values())


BAD_BOXES = {
    "x2 > x1": [12, 3, -4, 5],
    "y2 > y1": [2, 3, 5, 0],
    "both sides are longer than 1 px": [2, 3, 1, 9],
    "boxes lie inside their image": [-3, 3, 10, 10],
    "coordinates are finite numbers": [2, 3, None, 5],
}
BAD_FIELDS = {
    "categories are known": {"category_id": 5},
    "crowd (VOC: difficult) is 0 or 1": {"iscrowd": 2},
    "each box belongs to a listed image": {"image_id": 99},
}


def test_every_kind_of_bad_box_stops_the_pipeline_by_name(coco):
    for box in BAD_BOXES.values():
        coco.box("train", box)
    for fields in BAD_FIELDS.values():
        coco.box("train", BOX, **fields)
    with pytest.raises(InputError) as caught:
        coco.validate()
    out = coco.folder.parent / "out"
    assert [path.name for path in out.iterdir()] == ["scratch"]
    failed = failed_checks(out / "scratch")
    assert set(failed) == {*BAD_BOXES, *BAD_FIELDS}
    ids = {name: [row["box"] for row in rows] for name, rows in failed.items()}
    for number, name in enumerate([*BAD_BOXES, *BAD_FIELDS], start=2):
        assert ids[name] == [str(number)], name
    message = str(caught.value)
    assert "images/train/a.png image 1 box 2 bbox [12, 3, -4, 5]" in message
    assert "outside_px 3, picture 32 x 24" in message
    assert "image 99 box 9" in message
    assert str(out / "scratch" / "report.html") in message
    assert "on_bad_box" in message
    assert "Failed:" in (out / "scratch" / "report.html").read_text()


def test_dropped_boxes_are_listed_everywhere_and_in_no_index(coco, capsys):
    for box in BAD_BOXES.values():
        coco.box("train", box)
    for fields in BAD_FIELDS.values():
        coco.box("train", BOX, **fields)
    out = coco.validate(on_bad_box="drop")
    index = read_index(out / "index.arrow")
    assert index.image(index.rows("train")[0]).boxes.tolist() == [[2, 3, 12, 11]]
    dropped = json.loads((out / "result.json").read_text())["dropped_boxes"]
    assert [row["box"] for row in dropped] == [str(n) for n in range(2, 10)]
    assert dropped[0]["failed"] == "x2 > x1"
    assert json.loads((out / "metrics.json").read_text())["dropped_boxes"] == 8
    assert "dropped boxes: 8" in capsys.readouterr().out
    page = (out / "report.html").read_text()
    assert "bbox [12, 3, -4, 5]" in page
    assert "8 bad boxes dropped" in page


def outputs(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("on_bad_box", ["drop", "fail"])
def test_the_parts_that_a_table_is_read_and_checked_in_change_nothing(
    coco, monkeypatch, on_bad_box
):
    for split, content in coco.splits.items():
        coco.image(split, "b.png")
        content["categories"].append({"id": 2, "name": "dog"})
        for n, box in enumerate(BAD_BOXES.values()):
            coco.box(split, box)
            coco.box(split, BOX, image_id=2 - n % 2, category_id=1 + n % 2)
        for fields in BAD_FIELDS.values():
            coco.box(split, BOX, **fields)

    def all_outputs():
        try:
            return outputs(coco.validate(on_bad_box=on_bad_box))
        except InputError as error:
            return outputs(coco.folder.parent / "out") | {"message": str(error)}

    whole = all_outputs()
    assert ("index.arrow" in whole) == (on_bad_box == "drop")
    for module, name in ((coco_reader, "RECORDS"), (checking, "ROWS"), (stage_run, "IMAGES")):
        monkeypatch.setattr(module, name, 3 if name == "ROWS" else 1)
    assert all_outputs() == whole


def test_box_ids_that_are_far_apart_are_found_to_be_the_same(coco, monkeypatch):
    monkeypatch.setattr(checking, "ROWS", 2)
    for n in range(2, 7):
        coco.box("train", BOX, id=n)
    coco.box("train", BOX, id=1)
    with pytest.raises(InputError, match=r"box ids are unique \(2 of 8 boxes\)"):
        coco.validate()
    failed = failed_checks(coco.folder.parent / "out" / "scratch")
    assert [row["box"] for row in failed["box ids are unique"]] == ["1", "1"]


def test_every_kind_of_bad_image_stops_the_pipeline_even_with_drop(coco):
    turned = Image.Exif()
    turned[0x0112] = 6
    coco.image("train", "turned.jpg", exif=turned)
    coco.image("train", "old.bmp")
    coco.image("train", "small.png", size=(16, 24))
    half = coco.image("train", "half.png")
    half.write_bytes(half.read_bytes()[:900])
    coco.image("train", "lost.png").unlink()
    coco.image("train", "same.png", seed=77)
    coco.image("test", "copy.png", seed=77)
    coco.splits["test"]["images"].append(coco.splits["test"]["images"][0])
    with pytest.raises(InputError):
        coco.validate(on_bad_box="drop")
    failed = failed_checks(coco.folder.parent / "out" / "scratch")
    files = {name: [Path(row["file"]).name for row in rows] for name, rows in failed.items()}
    assert files == {
        "image ids are unique": ["a.png", "a.png"],
        "files are listed once": ["a.png", "a.png"],
        "files exist": ["lost.png"],
        "images decode": ["half.png"],
        "formats can be read in training": ["old.bmp"],
        "images are stored upright": ["turned.jpg"],
        "annotated size is the picture's": ["small.png"],
        "no picture is in both splits": ["same.png", "copy.png"],
    }
    row = failed["annotated size is the picture's"][0]
    assert row["value"] == "annotated_size 32 x 24, picture 16 x 24"


def test_a_class_only_in_test_fails_and_one_only_in_train_warns(coco, capsys):
    for content in coco.splits.values():
        content["categories"].append({"id": 2, "name": "dog"})
    coco.box("train", BOX, category_id=2)
    out = coco.validate()
    assert list(failed_checks(out)) == ["each train class is in test"]
    assert "class dog, train 1, test 0" in capsys.readouterr().out
    coco.splits["train"], coco.splits["test"] = coco.splits["test"], coco.splits["train"]
    with pytest.raises(InputError, match="class dog, train 0, test 1"):
        coco.validate()


def test_a_split_without_boxes_or_images_fails(coco):
    coco.splits["test"]["annotations"] = []
    with pytest.raises(InputError, match="split test, images 1, boxes 0"):
        coco.validate()
    coco.splits["test"]["images"] = []
    with pytest.raises(InputError, match="lists no images"):
        coco.validate()


def test_copies_within_a_split_are_only_warned_of(coco, capsys):
    for name in ("b.png", "c.png"):
        coco.image("train", name, seed=5)
    coco.validate()
    assert "warning: no picture is twice in a split (2 of 4 images)" in capsys.readouterr().out


def test_box_ids_must_be_unique_even_with_drop(coco):
    coco.box("train", BOX, id=1)
    with pytest.raises(InputError, match="box ids are unique"):
        coco.validate(on_bad_box="drop")


def test_long_lists_are_cut_on_the_terminal_and_whole_in_the_result(coco):
    for _ in range(25):
        coco.box("train", [0, 0, 1, 1])
    with pytest.raises(InputError, match=r"\.\.\. and 15 more"):
        coco.validate()
    failed = failed_checks(coco.folder.parent / "out" / "scratch")
    assert len(failed["both sides are longer than 1 px"]) == 25


def test_names_from_the_data_are_escaped_in_the_page(coco):
    for content in coco.splits.values():
        content["categories"][0]["name"] = "<script>alert(1)</script>"
    coco.image("train", "<img src=x>.png")
    coco.box("train", [0, 0, 1, 1], id="<b>", image_id=2)
    page = (coco.validate(on_bad_box="drop") / "report.html").read_text()
    assert "<script" not in page
    assert "<img" not in page
    assert "<b>Passed.</b>" in page
    assert page.count("<b>") == page.count("</b>")
    assert "&lt;script&gt;alert(1)" in page
    assert "&lt;img src=x&gt;.png" in page


def test_voc_box_of_one_pixel_fails_or_is_dropped(tmp_path):
    folder = tmp_path / "data"
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    for seed, (split, name) in enumerate([("trainval", "blood_1"), ("test", "blood_2")]):
        pixels = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "JPEGImages" / f"{name}.jpg")
        objects = "".join(
            f"<object><name>cell</name><bndbox><xmin>5</xmin><ymin>7</ymin>"
            f"<xmax>{x}</xmax><ymax>{y}</ymax></bndbox></object>"
            for x, y in ((32, 24), (5, 7))
        )
        size = "<size><width>32</width><height>24</height></size>"
        text = f"<annotation>{size}{objects}</annotation>"
        (folder / "Annotations" / f"{name}.xml").write_text(text)
        (folder / "ImageSets/Main" / f"{split}.txt").write_text(f"{name}\n")
    with pytest.raises(InputError) as caught:
        validate(folder, train="trainval")
    expected = "JPEGImages/blood_1.jpg box blood_1:2 xmin 5 ymin 7 xmax 5 ymax 7"
    assert expected in str(caught.value)
    out = validate(folder, train="trainval", on_bad_box="drop")
    index = read_index(out / "index.arrow")
    assert index.image(index.rows("train")[0]).boxes.tolist() == [[4, 6, 32, 24]]
    assert not (out / "scratch" / "report.html").exists()


def test_image_ids_are_the_source_s_if_whole_numbers_that_differ():
    def ids(*values):
        return image_ids(pd.DataFrame({"image": values, "file": ["c", "a", "b"]}))

    assert ids("7", "300", "2") == [7, 300, 2]
    assert ids("7", "7", "2") == [3, 1, 2]
    assert ids("x", "7", "2") == [3, 1, 2]
