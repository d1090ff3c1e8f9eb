"""predict, with a hand-made model that finds the same two boxes in every image."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from cli.predict import find_images, picture_names, predict
from components.draw import PALETTE, Mark, class_colour, draw_marks
from components.errors import InputError
from components.onnx_model.metadata import OnnxMetadata
from models.parameters import DetectionParameters, InputParameters, ProposalParameters

BOXES = np.array([[[4, 8, 16, 24], [0, 0, 32, 32], [0, 0, 0, 0]]], np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    save_model(path, metadata())
    return path


def metadata():
    return OnnxMetadata(
        classes=("cat", "dog"),
        resize=InputParameters(short_side=32, long_side=64),
        proposals=ProposalParameters(),
        detection=DetectionParameters(),
        upstream={"detector": "0" * 64},
    ).to_strings()


def save_model(path, strings):
    outputs = {
        "boxes": BOXES,
        "scores": np.array([[0.9, 0.4, 0]], np.float32),
        "labels": np.array([[2, 1, 0]], np.int64),
        "count": np.array([2], np.int64),
    }
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))
        for name, value in outputs.items()
    ]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, [None, 3, None, None])
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
        for n, v in outputs.items()
    ]
    opset = helper.make_opsetid("", 20)
    proto = helper.make_model(
        helper.make_graph(nodes, "g", [images], infos), opset_imports=[opset], ir_version=10
    )
    helper.set_model_props(proto, strings)
    onnx.save(proto, path)


def save_image(path, size=(96, 64), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "gray").save(path, **options)
    return path


def test_boxes_come_back_in_the_images_own_pixels(model, tmp_path):
    # 96 x 64 is resized to 48 x 32: everything comes back doubled.
    image = save_image(tmp_path / "in" / "a.png")
    result = predict(model, [image], tmp_path / "out", score=0.3)
    assert result == json.loads((tmp_path / "out" / "detections.json").read_text())
    assert result == [
        {
            "file": image.as_posix(),
            "width": 96,
            "height": 64,
            "detections": [
                {"box": [8.0, 16.0, 32.0, 48.0], "label": 2, "class": "dog", "score": 0.9},
                {"box": [0.0, 0.0, 64.0, 64.0], "label": 1, "class": "cat", "score": 0.4},
            ],
        }
    ]


def test_the_score_limits_what_is_written(model, tmp_path):
    image = save_image(tmp_path / "in" / "a.png")
    assert len(predict(model, [image], tmp_path / "out")[0]["detections"]) == 1
    assert predict(model, [image], tmp_path / "out", score=0.95)[0]["detections"] == []


def test_a_folder_gives_one_picture_an_image(model, tmp_path):
    save_image(tmp_path / "in" / "b.png")
    save_image(tmp_path / "in" / "a.JPG")
    (tmp_path / "in" / "notes.txt").touch()
    result = predict(model, [tmp_path / "in"], tmp_path / "out")
    assert [Path(r["file"]).name for r in result] == ["a.JPG", "b.png"]
    written = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert written == ["a.jpg", "b.png", "detections.json"]


def test_images_are_turned_upright(model, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    image = save_image(tmp_path / "in" / "a.jpg", exif=exif)
    result = predict(model, [image], tmp_path / "out")
    assert (result[0]["width"], result[0]["height"]) == (64, 96)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
def test_any_colour_mode_is_read(model, tmp_path, mode):
    path = tmp_path / "in" / "a.tif"
    path.parent.mkdir()
    Image.new(mode, (40, 40)).save(path)
    assert len(predict(model, [path], tmp_path / "out")[0]["detections"]) == 1


def test_pictures_of_one_name_are_numbered():
    names = picture_names([Path("x/a.png"), Path("y/a.png"), Path("y/a.jpeg"), Path("z/A.bmp")])
    assert list(names) == ["a.png", "a_2.png", "a.jpg", "A_3.png"]


def test_an_image_named_twice_counts_once(tmp_path):
    image = save_image(tmp_path / "a.png")
    assert find_images([image, tmp_path]) == [image]


def test_a_broken_image_is_named(model, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"broken\.jpg: cannot be read as an image"):
        predict(model, [broken], tmp_path / "out")


def test_a_cut_off_image_is_named(model, tmp_path):
    path = tmp_path / "half.png"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"half\.png: cannot be read as an image"):
        predict(model, [path], tmp_path / "out")


def test_an_absent_image_and_an_empty_folder_are_refused(model, tmp_path):
    with pytest.raises(InputError, match="nothing: no such file or folder"):
        predict(model, [tmp_path / "nothing"], tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: no images in this folder"):
        predict(model, [tmp_path / "empty"], tmp_path / "out")


def test_the_images_are_not_overwritten(model, tmp_path):
    image = save_image(tmp_path / "a.png")
    with pytest.raises(InputError, match="choose another for the output"):
        predict(model, [image], tmp_path)


def test_an_output_that_is_a_file_is_refused(model, tmp_path):
    image = save_image(tmp_path / "in" / "a.png")
    (tmp_path / "out").touch()
    with pytest.raises(InputError, match="out: the output folder cannot be written to"):
        predict(model, [image], tmp_path / "out")


def test_other_models_are_refused(tmp_path):
    image = save_image(tmp_path / "in" / "a.png")
    with pytest.raises(InputError, match="no such file"):
        predict(tmp_path / "absent.onnx", [image], tmp_path / "out")
    model = tmp_path / "model.onnx"
    model.write_bytes(b"text")
    with pytest.raises(InputError, match="cannot load it as a model"):
        predict(model, [image], tmp_path / "out")
    save_model(model, {})
    with pytest.raises(InputError, match="was not exported by fourstep"):
        predict(model, [image], tmp_path / "out")
    save_model(model, {"fourstep": "99"})
    with pytest.raises(InputError, match="has format 99, not 1"):
        predict(model, [image], tmp_path / "out")
    save_model(model, {"fourstep": "1"})
    with pytest.raises(InputError, match="its metadata is damaged"):
        predict(model, [image], tmp_path / "out")


def test_metadata_survives_the_round_trip():
    strings = metadata()
    assert OnnxMetadata.from_strings(strings, "m").to_strings() == strings


def test_torch_is_not_imported():
    code = "import sys, cli.predict; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_box_is_drawn_where_it_is():
    image = Image.new("RGB", (700, 500), "white")
    picture = draw_marks(image, [Mark((100.0, 100.0, 300.0, 200.0), "cat 0.90", "#d62728")])
    assert picture.size == (700, 500)
    red = (0xD6, 0x27, 0x28)
    assert picture.getpixel((100, 150)) == picture.getpixel((299, 150)) == red
    assert picture.getpixel((200, 199)) == picture.getpixel((101, 97)) == red
    assert picture.getpixel((200, 150)) == picture.getpixel((300, 150)) == (255, 255, 255)
    assert image.getpixel((100, 150)) == (255, 255, 255)


def test_small_images_are_enlarged_and_captions_stay_inside():
    mark = Mark((150.0, 0.0, 160.0, 9.0), "cat", "#fff000")
    picture = draw_marks(Image.new("RGB", (160, 120)), [mark])
    assert picture.size == (640, 480)
    assert picture.getpixel((639, 2)) == (0xFF, 0xF0, 0x00)


def test_classes_have_colours_of_their_own():
    colours = [class_colour(label) for label in range(1, 31)]
    assert colours[:10] == list(PALETTE)
    assert len(set(colours)) == 30
