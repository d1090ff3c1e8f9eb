import json
import math

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from components.errors import InputError
from components.validate_data import ValidateData
from components.validate_data import voc as voc_reader
from components.validate_data.coco import read_coco
from components.validate_data.decode import decode_all
from components.validate_data.layout import check_inside, detect
from components.validate_data.tables import CORNERS
from components.validate_data.voc import read_voc

NAMES = {"train": "train", "test": "test"}


def write(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def coco(images=(), annotations=(), categories=({"id": 3, "name": "cat"},)):
    return json.dumps(
        {
            "images": list(images),
            "annotations": list(annotations),
            "categories": list(categories),
        }
    )


def read_coco_folder(folder):
    return read_coco(folder, detect(folder, NAMES), NAMES)


def voc(folder, image, objects="", split="train"):
    write(
        folder / "Annotations" / f"{image}.xml",
        f"<annotation><size><width>20</width><height>10</height></size>{objects}</annotation>",
    )
    listing = folder / "ImageSets" / "Main" / f"{split}.txt"
    before = listing.read_text() if listing.exists() else ""
    write(listing, before + image + "\n")


def voc_object(xmin="1", name="cat", extra=""):
    return (
        f"<object><name>{name}</name>{extra}<bndbox><xmin>{xmin}</xmin><ymin>2</ymin>"
        "<xmax>5</xmax><ymax>6</ymax></bndbox></object>"
    )


class TestLayout:
    @pytest.mark.parametrize(
        "pattern",
        [
            "annotations/instances_{}.json",
            "annotations/{}.json",
            "{}.json",
            "{}/_annotations.coco.json",
        ],
    )
    def test_coco_layouts(self, tmp_path, pattern):
        for split in NAMES:
            write(tmp_path / pattern.format(split))
        found = detect(tmp_path, NAMES)
        assert found.kind == "coco"
        assert found.files["test"] == tmp_path / pattern.format("test")

    def test_voc_with_names_of_its_own(self, tmp_path):
        write(tmp_path / "ImageSets/Main/trainval.txt")
        write(tmp_path / "ImageSets/Main/val.txt")
        found = detect(tmp_path, {"train": "trainval", "test": "val"})
        assert found.kind == "voc"
        assert found.files["train"].name == "trainval.txt"

    def test_neither_says_what_was_looked_for(self, tmp_path):
        with pytest.raises(InputError, match=r"instances_train.json.*ImageSets/Main/train.txt"):
            detect(tmp_path, NAMES)

    def test_a_missing_split_says_what_there_is(self, tmp_path):
        write(tmp_path / "annotations/instances_train.json")
        write(tmp_path / "annotations/instances_val.json")
        with pytest.raises(InputError, match=r"'test'.*instances_val.json.*--test"):
            detect(tmp_path, NAMES)

    def test_both_layouts_are_refused(self, tmp_path):
        write(tmp_path / "annotations/instances_train.json")
        write(tmp_path / "ImageSets/Main/train.txt")
        with pytest.raises(InputError, match="both"):
            detect(tmp_path, NAMES)

    def test_two_files_for_one_split_are_refused(self, tmp_path):
        write(tmp_path / "train.json")
        write(tmp_path / "train/_annotations.coco.json")
        with pytest.raises(InputError, match="several"):
            detect(tmp_path, NAMES)

    @pytest.mark.parametrize("name", ["/etc/passwd", "../a.jpg", "a/../../b", "C:\\a", "..\\a", ""])
    def test_paths_outside_the_folder_are_refused(self, tmp_path, name):
        with pytest.raises(InputError, match="inside the data folder"):
            check_inside(tmp_path / "train.json", name)

    def test_paths_inside_are_not(self, tmp_path):
        assert check_inside(tmp_path, "a/b..c.jpg") == "a/b..c.jpg"


class TestCoco:
    def test_boxes_become_corners_and_ids_may_have_gaps(self, tmp_path):
        image = {"id": 7, "file_name": "a.png", "width": 20, "height": 10}
        box = {"id": 1, "image_id": 7, "category_id": 10, "bbox": [1, 2, 3, 4.5], "iscrowd": 1}
        categories = [{"id": 10, "name": "ten"}, {"id": 9, "name": "nine"}]
        write(tmp_path / "train.json", coco([image], [box], categories))
        write(tmp_path / "test.json", coco([image], [], categories))
        tables = read_coco_folder(tmp_path)
        assert tables.classes == ["nine", "ten"]
        row = tables.boxes.iloc[0]
        assert row[CORNERS].tolist() == [1, 2, 4, 6.5]
        assert (row["image"], row["name"], row["crowd"], row["split"]) == ("7", "ten", 1, "train")
        assert tables.images["split"].tolist() == ["train", "test"]

    @pytest.mark.parametrize(
        "place", ["train", "images/train", "images", "JPEGImages", ".", "annotations"]
    )
    def test_images_are_found(self, tmp_path, place):
        image = {"id": 1, "file_name": "a.png", "width": 2, "height": 2}
        for split in NAMES:
            write(tmp_path / f"annotations/instances_{split}.json", coco([image]))
        found = write(tmp_path / place / "a.png")
        tables = read_coco_folder(tmp_path)
        assert tables.images["file"][0] == found.relative_to(tmp_path).as_posix()

    def test_what_is_no_box_is_not_a_number(self, tmp_path):
        boxes = [[1, 2, 3], None, "abcd", [0, 0, "x", 1], [1, 1, 1, 1]]
        records = [{"id": n, "image_id": 1, "bbox": box} for n, box in enumerate(boxes)]
        write(tmp_path / "train.json", coco([], [*records, {"id": 9, "image_id": 1}]))
        write(tmp_path / "test.json", coco())
        table = read_coco_folder(tmp_path).boxes
        finite = np.isfinite(table[CORNERS].to_numpy()).all(axis=1)
        assert finite.tolist() == [False, False, False, False, True, False]
        assert table["name"].isna().all()

    @pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
    def test_numbers_that_json_does_not_have_are_refused_by_name(self, tmp_path, value):
        text = coco([], [{"id": 5, "bbox": [0, 0, 1, 77]}]).replace("77", value)
        write(tmp_path / "train.json", text)
        write(tmp_path / "test.json", coco())
        with pytest.raises(InputError, match=rf'train.json: {value} .*"id": 5'):
            read_coco_folder(tmp_path)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "not a JSON file"),
            ("[]", "no list 'images'"),
            ('{"images": [3], "annotations": [], "categories": []}', r"images\[0\] is 3"),
            (coco(categories=[{"id": 1}]), r"categories\[0\] has no 'name'"),
            (coco(categories=[{"id": 1, "name": " "}]), "empty name"),
            (coco(images=[{"id": 1}]), r"images\[0\] has no 'file_name'"),
            (coco(images=[{"id": 1, "file_name": "../a"}]), "inside the data folder"),
        ],
    )
    def test_files_that_are_not_coco(self, tmp_path, text, message):
        write(tmp_path / "train.json", text)
        write(tmp_path / "test.json", coco())
        with pytest.raises(InputError, match=message):
            read_coco_folder(tmp_path)

    def test_splits_must_agree_on_names(self, tmp_path):
        write(tmp_path / "train.json", coco(categories=[{"id": 1, "name": "cat"}]))
        write(tmp_path / "test.json", coco(categories=[{"id": 1, "name": "dog"}]))
        with pytest.raises(InputError, match="category 1 is 'dog' here and 'cat' before"):
            read_coco_folder(tmp_path)

    def test_one_name_for_two_ids_is_refused_if_both_have_boxes(self, tmp_path):
        categories = [{"id": 0, "name": "cell"}, {"id": 1, "name": "cell"}]
        boxes = [{"id": n, "image_id": 1, "category_id": n, "bbox": [0, 0, 2, 2]} for n in (0, 1)]
        write(tmp_path / "test.json", coco(categories=categories))
        write(tmp_path / "train.json", coco([], boxes[1:], categories))
        assert read_coco_folder(tmp_path).classes == ["cell"]
        write(tmp_path / "train.json", coco([], boxes, categories))
        with pytest.raises(InputError, match="'cell' is the name of categories 0 and 1"):
            read_coco_folder(tmp_path)


class TestVoc:
    def test_first_pixel_is_one_and_the_last_is_included(self, tmp_path):
        voc(tmp_path, "a", voc_object("1", "dog", "<difficult>1</difficult>") + voc_object())
        voc(tmp_path, "b", split="test")
        write(tmp_path / "JPEGImages/a.png")
        tables = read_voc(tmp_path, detect(tmp_path, NAMES))
        assert tables.classes == ["cat", "dog"]
        assert tables.boxes[CORNERS].iloc[0].tolist() == [0, 1, 5, 6]
        assert tables.boxes["crowd"].tolist() == [1, 0]
        assert tables.boxes["box"].tolist() == ["a:1", "a:2"]
        assert tables.images["file"].tolist() == ["JPEGImages/a.png", "JPEGImages/b.jpg"]
        assert tables.images["width"].tolist() == [20, 20]

    def test_tables_read_in_parts_are_the_same(self, tmp_path, monkeypatch):
        for image, split in (("a", "train"), ("b", "train"), ("c", "test")):
            voc(tmp_path, image, voc_object(name=f"x{image}") + "<object></object>", split)
        voc(tmp_path, "d")
        whole = read_voc(tmp_path, detect(tmp_path, NAMES))
        monkeypatch.setattr(voc_reader, "RECORDS", 1)
        parts = read_voc(tmp_path, detect(tmp_path, NAMES))
        for a, b in ((whole.images, parts.images), (whole.boxes, parts.boxes)):
            pd.testing.assert_frame_equal(a.astype(str), b.astype(str))
        assert parts.classes == ["xa", "xb", "xc"]

    def test_what_is_no_number_is_not_a_number(self, tmp_path):
        voc(tmp_path, "a", voc_object("left") + "<object></object>")
        voc(tmp_path, "b", split="test")
        table = read_voc(tmp_path, detect(tmp_path, NAMES)).boxes
        assert math.isnan(table["x1"][0])
        assert table["x2"][0] == 5
        assert table[CORNERS].iloc[1].isna().all()
        assert table["name"].isna().tolist() == [False, True]

    def test_images_without_any_object_are_fine(self, tmp_path):
        voc(tmp_path, "a")
        voc(tmp_path, "b", split="test")
        tables = read_voc(tmp_path, detect(tmp_path, NAMES))
        assert (len(tables.images), len(tables.boxes), tables.classes) == (2, 0, [])

    def test_empty_lists_are_no_images(self, tmp_path):
        voc(tmp_path, "a")
        for split in ("train", "test"):
            (tmp_path / "ImageSets" / "Main" / f"{split}.txt").write_text("")
        tables = read_voc(tmp_path, detect(tmp_path, NAMES))
        assert (len(tables.images), len(tables.boxes), tables.classes) == (0, 0, [])

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("<annotation>", "a.xml: not an XML file"),
            (
                '<!DOCTYPE a [<!ENTITY x "y">]><annotation>&x;</annotation>',
                "a.xml: has a <!DOCTYPE>",
            ),
        ],
    )
    def test_bad_xml(self, tmp_path, text, message):
        voc(tmp_path, "a")
        voc(tmp_path, "b", split="test")
        write(tmp_path / "Annotations/a.xml", text)
        with pytest.raises(InputError, match=message):
            read_voc(tmp_path, detect(tmp_path, NAMES))

    def test_listed_images_without_annotation_are_named(self, tmp_path):
        voc(tmp_path, "a")
        write(tmp_path / "ImageSets/Main/test.txt", "a\nlost one\n\n")
        with pytest.raises(InputError, match=r"1 of 2 images have no file .*: lost one"):
            read_voc(tmp_path, detect(tmp_path, NAMES))

    def test_of_two_files_with_one_name_the_annotation_decides(self, tmp_path):
        voc(tmp_path, "a", "<filename>a.png</filename>")
        voc(tmp_path, "b", split="test")
        for suffix in ("jpg", "png"):
            write(tmp_path / f"JPEGImages/a.{suffix}")
            write(tmp_path / f"JPEGImages/b.{suffix}")
        with pytest.raises(InputError, match=r"b.xml: JPEGImages has b.jpg, b.png"):
            read_voc(tmp_path, detect(tmp_path, NAMES))
        (tmp_path / "JPEGImages/b.png").unlink()
        files = read_voc(tmp_path, detect(tmp_path, NAMES)).images["file"].tolist()
        assert files == ["JPEGImages/a.png", "JPEGImages/b.jpg"]


class TestDecode:
    def test_what_each_file_says(self, tmp_path):
        pixels = np.random.default_rng(0).integers(0, 255, (64, 48, 3), np.uint8)
        image = Image.fromarray(pixels)
        image.save(tmp_path / "good.png")
        image.convert("CMYK").save(tmp_path / "cmyk.jpg")
        image.save(tmp_path / "old.bmp")
        Image.fromarray(pixels[..., 0].astype(np.uint16)).save(tmp_path / "deep.png")
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(tmp_path / "turned.jpg", exif=exif)
        image.save(tmp_path / "two.jpg", "MPO", save_all=True, append_images=[image])
        data = (tmp_path / "good.png").read_bytes()
        (tmp_path / "half.png").write_bytes(data[: len(data) // 2])
        (tmp_path / "text.jpg").write_text("no picture")
        names = ["good.png", "cmyk.jpg", "old.bmp", "deep.png", "turned.jpg", "two.jpg"]
        names += ["half.png", "text.jpg", "lost.png"]
        table = decode_all(tmp_path, names).set_axis(names)
        assert table.loc["good.png", ["real_width", "real_height"]].tolist() == [48, 64]
        formats = ["PNG", "JPEG", "BMP", "PNG with 16 bits", "JPEG", "JPEG"]
        assert table["format"].iloc[:6].tolist() == formats
        assert table["orientation"].iloc[:6].tolist() == [1, 1, 1, 1, 6, 1]
        assert table["error"].iloc[:6].isna().all()
        assert "truncated" in table.loc["half.png", "error"]
        assert table.loc["text.jpg", "error"] == "not recognised as a picture"
        assert table["exists"].tolist() == [True] * 8 + [False]
        assert len(table.loc["half.png", "sha256"]) == 64


class TestDeclaration:
    def stage(self, tmp_path, **parameters):
        paths = ("data", "index", "metrics", "result", "report", "scratch")
        return ValidateData(**{name: tmp_path / name for name in paths}, **parameters)

    @pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden"])
    def test_split_names_are_plain(self, tmp_path, name):
        with pytest.raises(ValueError, match="train: "):
            self.stage(tmp_path, train=name)

    @pytest.mark.parametrize("size", [-1, math.nan, math.inf])
    def test_box_size_is_a_size(self, tmp_path, size):
        with pytest.raises(ValueError, match="min_box_px: "):
            self.stage(tmp_path, min_box_px=size)
