import io
import json

import numpy as np
import pytest
from PIL import Image

from cli.demo_data import (
    EMPTY_SHARE,
    Scene,
    box_at,
    compose_scene,
    draw_digit,
    free_place,
    iou,
    load_sources,
    make_demo_data,
    paste,
    same_tree,
    split_instances,
    stored_png,
)
from components.errors import InputError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_demo_data(tmp_path_factory.mktemp("demo") / "data", train_images=40, test_images=10)


def annotations(data, split):
    return json.loads((data / "annotations" / f"instances_{split}.json").read_text())


def test_the_same_arguments_give_the_same_bytes(data, tmp_path):
    again = make_demo_data(tmp_path / "again", train_images=40, test_images=10)
    other = make_demo_data(tmp_path / "other", train_images=40, test_images=10, seed=1)
    assert same_tree(data, again)
    assert not same_tree(data, other)


def test_an_existing_folder_is_kept_if_equal_and_refused_if_not(data, tmp_path):
    make_demo_data(data, train_images=40, test_images=10)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.txt").write_text("mine")
    with pytest.raises(InputError, match="already exists"):
        make_demo_data(tmp_path / "mine", train_images=1, test_images=1)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
    assert (tmp_path / "mine" / "photo.txt").read_text() == "mine"


def test_counts_must_be_positive(tmp_path):
    with pytest.raises(InputError, match="test images: 0"):
        make_demo_data(tmp_path / "data", test_images=0)


@pytest.mark.parametrize(("split", "count"), [("train", 40), ("test", 10)])
def test_annotations_describe_the_pictures(data, split, count):
    coco = annotations(data, split)
    assert len(coco["images"]) == count
    assert [c["name"] for c in coco["categories"]] == list("0123456789")
    sizes = {}
    for image in coco["images"]:
        with Image.open(data / "images" / split / image["file_name"]) as opened:
            assert opened.size == (image["width"], image["height"])
            opened.load()
        sizes[image["id"]] = opened.size
    assert set(sizes.values()) == {(160, 128), (128, 160)}
    for box in coco["annotations"]:
        x, y, w, h = box["bbox"]
        width, height = sizes[box["image_id"]]
        assert 0 <= x < x + w <= width
        assert 0 <= y < y + h <= height
        assert 18 <= h <= 51
        assert box["area"] == w * h


def test_a_share_of_training_scenes_is_empty_and_no_test_scene(data):
    def empty(split):
        coco = annotations(data, split)
        return len(coco["images"]) - len({a["image_id"] for a in coco["annotations"]})

    assert empty("train") == round(40 * EMPTY_SHARE) == 2
    assert empty("test") == 0


def test_digits_hardly_overlap(data):
    by_image = {}
    for box in annotations(data, "train")["annotations"]:
        x, y, w, h = box["bbox"]
        by_image.setdefault(box["image_id"], []).append([x, y, x + w, y + h])
    pairs = [(a, b) for boxes in by_image.values() for a in boxes for b in boxes if a is not b]
    assert pairs
    assert max(iou(a, b) for a, b in pairs) <= 0.1


def test_readme_says_that_scenes_are_composed_and_from_what(data):
    text = (data / "README.txt").read_text()
    for word in ("COMPOSED", "load_digits", "UCI", "danielbuechele", "vultilion", "Attribution"):
        assert word in text


def test_splits_share_no_digit_instance_and_have_all_classes():
    targets = load_sources().targets
    split = split_instances(targets, seed=0)
    assert not set(split["train"]) & set(split["test"])
    assert len(split["train"]) + len(split["test"]) == len(targets)
    for target in range(10):
        share = (targets[split["test"]] == target).sum() / (targets == target).sum()
        assert share == pytest.approx(0.2, abs=0.01)


def test_ink_stands_out_from_every_background():
    sources = load_sources()
    for seed in range(20):
        generator = np.random.Generator(np.random.PCG64(seed))
        scene = compose_scene(sources, [0, 1, 2], generator)
        x1, y1, x2, y2 = scene.boxes[0]
        inside = scene.pixels[y1:y2, x1:x2].astype(int).max(axis=2)
        assert inside.max() - inside.min() > 40


def test_box_is_tight_around_the_ink():
    alpha = np.zeros((6, 5), np.uint8)
    alpha[1:4, 2:4] = 200
    alpha[0, 0] = 63  # fainter than a quarter of full ink
    assert box_at(alpha, (10, 20)) == [12, 21, 14, 24]


def test_digit_is_drawn_at_the_height_asked_for():
    for height in (20, 48):
        alpha = draw_digit(load_sources().digits[0], height)
        _, top, _, bottom = box_at(alpha, (0, 0))
        assert bottom - top == pytest.approx(height, abs=3)


def test_paste_blends_ink_by_alpha():
    pixels = np.full((2, 2, 3), 100, np.uint8)
    paste(pixels, np.array([[255, 0]], np.uint8), (0, 1), np.array([1, 2, 3]))
    assert pixels[1, 0].tolist() == [1, 2, 3]
    assert pixels[1, 1].tolist() == pixels[0, 0].tolist() == [100, 100, 100]


def test_there_is_no_place_where_all_is_taken():
    scene = Scene(np.zeros((20, 20, 3), np.uint8), [[0, 0, 20, 20]], [0])
    generator = np.random.Generator(np.random.PCG64(0))
    assert free_place(scene, np.full((18, 18), 255, np.uint8), generator) is None


def test_iou_by_hand():
    assert iou([0, 0, 2, 2], [1, 1, 3, 3]) == pytest.approx(1 / 7)
    assert iou([0, 0, 2, 2], [2, 0, 4, 2]) == 0


def test_stored_png_is_read_back_exactly():
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    with Image.open(io.BytesIO(stored_png(pixels))) as image:
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), pixels)
