"""Kinds of bad data: what is spoilt, how it ends, and what the message must say."""

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np
from PIL import Image

from tests.components.bad_data.data_sets import BOX, CORNERS, Coco, Data, Voc, pixels, png, saved

HANDLED, DROPPED, REFUSED = "handled", "dropped and listed", "refused by name"


@dataclass(frozen=True)
class Case:
    """One kind. `says` must be found in the message (refused), in the row of result.json
    (dropped) or on the terminal (handled; empty where there is nothing to tell).

    `boxes` are the corners that the index must have for a file, where not `CORNERS` alone.
    """

    group: str
    name: str
    layout: type[Data]
    spoil: Callable[[Data], object]
    ending: str
    says: str = ""
    boxes: dict[str, list] = field(default_factory=dict)


CASES: list[Case] = []


def add(group, layout, *rows):
    """Add rows: name, ending, what is said, spoil; boxes where they matter."""
    CASES.extend(
        Case(group, name, layout, spoil, ending, says, *rest)
        for name, ending, says, spoil, *rest in rows
    )


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def picture(name, image, format, **options):
    """Adds a picture in another format or mode."""
    return lambda d: d.picture(name, saved(image(pixels(9)), format, **options))


def raw(name, data, **more):
    """Adds a picture file of these bytes."""
    return lambda d: d.picture(name, data() if callable(data) else data, **more)


def same(image):
    return image


def mode(name):
    return lambda image: image.convert(name)


def palette(image):
    return image.quantize(16)


def alpha(image):
    image = image.copy()
    image.putalpha(image.convert("L"))
    return image


def film(count=2):
    return {"save_all": True, "append_images": [pixels(n) for n in range(20, 19 + count)]}


def deep_rgb():
    rows = np.random.default_rng(0).integers(0, 255, (24, 1 + 32 * 6), np.uint8)
    rows[:, 0] = 0
    return png(32, 24, depth=16, rows=rows.tobytes())


def large_jpeg():
    """A JPEG whose header says 60000 x 60000."""
    data = bytearray(saved(pixels(), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = (60000).to_bytes(2, "big") * 2
    return bytes(data)


def broken_png():
    data = bytearray(saved(pixels()))
    data[data.index(b"IDAT") + 40] ^= 255
    return bytes(data)


def half(data):
    return data[: len(data) // 2]


JPEG, PNG = saved(pixels(8), "JPEG"), saved(pixels(8))
ROTATED = r"x\.\w+ image 3 orientation {}\b[\s\S]*save it upright"
PLAIN_TIFF = r"x\.tif image 3 format TIFF[\s\S]*8-bit PNG"
OF_FORMAT = r"x\.\w+ image 3 format {}\b[\s\S]*8-bit PNG"
TRUNCATED = r"x\.\w+ image 3 error OSError.*[Tt]runcated[\s\S]*copy the file again"
UNKNOWN = r"x\.\w+ image 3 error not recognised as a picture[\s\S]*copy the file again"
BOMB = r"x\.\w+ image 3 error too many pixels, not decoded; cut it into tiles"
LONG = r"warning: the long side is at most 20 times the short one[\s\S]*x\.png .*30000"

add(
    "picture files",
    Coco,
    ("PNG cut short", REFUSED, TRUNCATED, raw("x.png", half(PNG))),
    ("JPEG cut short", REFUSED, TRUNCATED, raw("x.jpg", half(JPEG))),
    ("JPEG without its end marker", REFUSED, TRUNCATED, raw("x.jpg", JPEG[:-2])),
    ("PNG with a flipped bit", REFUSED, r"x\.png image 3 error", raw("x.png", broken_png)),
    ("file of zero bytes", REFUSED, UNKNOWN, raw("x.png", b"")),
    ("text in place of a picture", REFUSED, UNKNOWN, raw("x.jpg", b"<html>404</html>")),
    ("SVG", REFUSED, UNKNOWN, raw("x.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>')),
    ("BMP", REFUSED, OF_FORMAT.format("BMP"), picture("x.bmp", same, "BMP")),
    ("TIFF", REFUSED, PLAIN_TIFF, picture("x.tif", same, "TIFF")),
    ("CMYK TIFF", REFUSED, PLAIN_TIFF, picture("x.tif", mode("CMYK"), "TIFF")),
    ("JPEG named .png", HANDLED, "", raw("x.png", JPEG)),
    ("PNG named .jpg", HANDLED, "", raw("x.jpg", PNG)),
    ("picture without suffix", HANDLED, "", raw("x", PNG)),
    ("bytes after a JPEG's end", HANDLED, "", raw("x.jpg", JPEG + b"junk" * 9)),
    ("CMYK JPEG", HANDLED, "", picture("x.jpg", mode("CMYK"), "JPEG")),
    ("progressive JPEG", HANDLED, "", picture("x.jpg", same, "JPEG", progressive=True)),
    ("grayscale JPEG", HANDLED, "", picture("x.jpg", mode("L"), "JPEG")),
    ("palette PNG", HANDLED, "", picture("x.png", palette, "PNG")),
    ("palette PNG with transparency", HANDLED, "",
     picture("x.png", palette, "PNG", transparency=0)),
    ("PNG of 1 bit", HANDLED, "", picture("x.png", mode("1"), "PNG")),
    ("gray PNG with alpha", HANDLED, "", picture("x.png", lambda i: alpha(i).convert("LA"), "PNG")),
    ("PNG with alpha", HANDLED, "", picture("x.png", alpha, "PNG")),
    ("WebP with alpha", HANDLED, "", picture("x.webp", alpha, "WEBP", lossless=True, exact=True)),
    ("gray PNG of 16 bits", REFUSED, OF_FORMAT.format("PNG with 16 bits"),
     raw("x.png", lambda: saved(Image.fromarray(np.full((24, 32), 3000, np.uint16))))),
    ("RGB PNG of 16 bits", REFUSED, OF_FORMAT.format("PNG with 16 bits"), raw("x.png", deep_rgb)),
    ("JPEG that EXIF rotates", REFUSED, ROTATED.format(6),
     picture("x.jpg", same, "JPEG", exif=exif(6))),
    ("PNG that EXIF rotates", REFUSED, ROTATED.format(8),
     picture("x.png", same, "PNG", exif=exif(8))),
    ("WebP that EXIF mirrors", REFUSED, ROTATED.format(2),
     picture("x.webp", same, "WEBP", exif=exif(2))),
    ("EXIF that says upright", HANDLED, "", picture("x.jpg", same, "JPEG", exif=exif(1))),
    ("EXIF orientation that does not exist", HANDLED, "",
     picture("x.jpg", same, "JPEG", exif=exif(9))),
    ("GIF of one frame", HANDLED, "", picture("x.gif", palette, "GIF")),
    ("animated GIF", REFUSED, OF_FORMAT.format("GIF with several frames"),
     picture("x.gif", same, "GIF", **film())),
    ("animated WebP", REFUSED, OF_FORMAT.format("WEBP with several frames"),
     picture("x.webp", same, "WEBP", **film())),
    ("animated PNG (the first frame counts)", HANDLED, "", picture("x.png", same, "PNG", **film())),
    ("JPEG with a second picture (MPO)", HANDLED, "", picture("x.jpg", same, "MPO", **film())),
    ("picture of 1 x 1 px", HANDLED, "",
     raw("x.png", lambda: saved(pixels(9, (1, 1))), box=None, width=1, height=1),
     {"images/train/x.png": []}),
    ("30000 px wide", HANDLED, LONG,
     raw("x.png", lambda: saved(pixels(9, (30000, 16))), width=30000, height=16)),
    ("30000 px high", HANDLED, LONG,
     raw("x.png", lambda: saved(pixels(9, (16, 30000))), width=16, height=30000)),
    ("decompression bomb, PNG of 100000 x 100000", REFUSED, BOMB,
     raw("x.png", lambda: png(100000, 100000))),
    ("decompression bomb, PNG of 12000 x 12000 that decodes", REFUSED, BOMB + ".*12000 x 12000",
     raw("x.png", lambda: png(12000, 12000, 1, 0, bytes(12000 * 1501)))),
    ("decompression bomb, GIF of 65535 x 65535", REFUSED, BOMB,
     raw("x.gif", b"GIF89a" + b"\xff" * 4 + bytes(3) + b"," + bytes(4) + b"\xff" * 4 + b"\0\2\0;")),
    ("decompression bomb, JPEG of 60000 x 60000", REFUSED, BOMB, raw("x.jpg", large_jpeg)),
    ("decompression bomb in a PNG's text", REFUSED, r"x\.png image 3 error ValueError: .*too large",
     raw("x.png", lambda: png(32, 24, rows=bytes(24 * 97), more=[
         (b"zTXt", b"a\0\0" + zlib.compress(bytes(80_000_000)))]))),
)  # fmt: skip

MISSING = r"x\.png image 3[\s\S]*put the file there"
OUT = r"x\.png image 3 error a link out of the data folder; put a copy"
DISK = r"warning: picture files in the folder are listed \(1 of 4 files\)[\s\S]*{}"


def instead(make, name="x.png"):
    """Adds a picture, and puts something else in its place."""

    def spoil(data):
        data.picture(name, PNG)
        data.instead(f"{data.pictures}/{name}", make)

    return spoil


def outside(data, target="outside.png"):
    return data.folder.parent / target


def link_out(data):
    outside(data).write_bytes(PNG)
    instead(lambda path: path.symlink_to(outside(data)))(data)


def folder_link_out(data):
    far = outside(data, "far")
    far.mkdir()
    (far / "x.png").write_bytes(PNG)
    data.listed("far/x.png")
    data.last.append(lambda: (data.folder / "images/train/far").symlink_to(far))


def annotation_link(name):
    """Moves an annotation file out of the folder, and leaves a link to it."""

    def spoil(data):
        path = data.folder / name
        data.last.append(lambda: path.rename(outside(data, "annotation")))
        data.last.append(lambda: path.symlink_to(outside(data, "annotation")))

    return spoil


def link_inside(data):
    data.put("real/x.png", PNG)
    data.picture("x.png", PNG)
    data.instead("images/train/x.png", lambda path: path.symlink_to("../../real/x.png"))


def not_utf8_name(data):
    path = os.fsencode(data.folder / data.pictures) + b"/\xff.png"
    data.last.append(lambda: open(path, "wb").close())


add(
    "files and links",
    Coco,
    ("file that is missing", REFUSED, MISSING, lambda d: d.listed("x.png")),
    ("folder in place of a picture", REFUSED, MISSING, instead(os.mkdir)),
    ("named pipe in place of a picture", REFUSED, MISSING, instead(os.mkfifo)),
    ("link to nothing", REFUSED, MISSING, instead(lambda p: p.symlink_to("nothing.png"))),
    ("link to itself", REFUSED, MISSING, instead(lambda p: p.symlink_to("x.png"))),
    ("link to a device", REFUSED, OUT, instead(lambda p: p.symlink_to("/dev/zero"))),
    ("link out of the folder", REFUSED, OUT, link_out),
    ("linked folder that lies outside", REFUSED, r"far/x\.png image 3 error a link out",
     folder_link_out),
    ("link inside the folder", HANDLED, r"warning: picture files .*[\s\S]*real/x\.png",
     link_inside),
    ("COCO file that is a link out", REFUSED, r"train\.json: a link out of the data folder",
     annotation_link("train.json")),
    ("file on disk without annotation", HANDLED, DISK.format(r"images/train/x\.png"),
     lambda d: d.put("images/train/x.png", PNG)),
    ("file on disk whose name is not UTF-8", HANDLED, DISK.format(r"images/train/\\xff\.png"),
     not_utf8_name),
    ("same picture in both splits", REFUSED, "no picture is in both splits[\\s\\S]*c.png image 1",
     lambda d: d.picture("x.png", saved(pixels(2)))),
    ("same picture twice in a split", HANDLED, "warning: no picture is twice[\\s\\S]*x.png image 3",
     lambda d: d.picture("x.png", saved(pixels(0)))),
    ("names that differ in case only", HANDLED, "", raw("A.png", PNG)),
)  # fmt: skip
add(
    "files and links",
    Voc,
    ("VOC annotation that is a link out", REFUSED, r"a\.xml: a link out of the data folder",
     annotation_link("Annotations/a.xml")),
    ("VOC image list that is a link out", REFUSED, r"train\.txt: a link out of the data folder",
     annotation_link("ImageSets/Main/train.txt")),
    ("VOC picture that is missing", REFUSED, r"JPEGImages/a\.jpg[\s\S]*put the file there",
     lambda d: (d.folder / "JPEGImages/a.png").unlink()),
    ("VOC picture without annotation", HANDLED, DISK.format(r"JPEGImages/x\.png"),
     lambda d: d.put("JPEGImages/x.png", PNG)),
    ("two VOC pictures of one name", REFUSED, r"a\.xml: JPEGImages has a\.jpg, a\.png",
     lambda d: d.put("JPEGImages/a.jpg", JPEG)),
)  # fmt: skip


def named(name):
    """Lists an image of this name."""
    return lambda d: d.listed(name)


INSIDE = r"train\.json: image name {} .*not a path inside the data folder"
add(
    "file names",
    Coco,
    ("name with ..", REFUSED, INSIDE.format(r"'\.\./x\.png'"), named("../x.png")),
    (".. with backslashes", REFUSED, INSIDE.format(r"'a\\\\\.\.\\\\x\.png'"),
     named("a\\..\\x.png")),
    ("absolute name", REFUSED, INSIDE.format("'/etc/passwd'"), named("/etc/passwd")),
    ("name with a drive", REFUSED, INSIDE.format(r"'C:\S*"), named("C:\\x.png")),
    ("name with a NUL", REFUSED, INSIDE.format(r"'x\\x00\.png'"), named("x\0.png")),
    ("name with a line break", REFUSED, INSIDE.format(r"'x\\n\.png'"), named("x\n.png")),
    ("name with a terminal's escape", REFUSED, INSIDE.format(r"'\\x1b\[2J'"), named("\x1b[2J")),
    ("name of half a surrogate pair", REFUSED, INSIDE.format(r"'\\ud800\.png'"),
     named("\ud800.png")),
    ("name that is too long", REFUSED, r"train\.json: image name 'xxx.* has 304 bytes",
     named("x" * 300 + ".png")),
    ("path that is too long", REFUSED, r"train\.json: image name 'x/x.* has 4005 bytes",
     named("x/" * 2000 + "x.png")),
    ("empty name", REFUSED, INSIDE.format("''"), named("")),
    ("folder as a name", REFUSED, r"images/train image 3[\s\S]*put the file there", named(".")),
    ("name in a folder", HANDLED, "", raw("sub/x.png", PNG)),
    ("name with spaces and accents", HANDLED, "", raw("é 日本 x.png", PNG)),
)  # fmt: skip
add(
    "file names",
    Voc,
    ("VOC list with ..", REFUSED, r"train\.txt: image name '\.\./a' is not a path inside",
     lambda d: d.lists.update(train="../a\n")),
    ("VOC list with a name too long", REFUSED, r"train\.txt: image name 'xxx.* has 252 bytes",
     lambda d: d.lists.update(train="x" * 252)),
)  # fmt: skip


def first(key, **changes):
    """Changes the first record of a list."""
    return lambda d: d.splits["train"][key][0].update(changes)


def text(change):
    """Changes the bytes of train.json."""
    return lambda d: d.rewrite("train.json", change)


def put(old, new):
    """Puts text in place of other text in train.json."""
    return text(lambda data: data.replace(old.encode(), new.encode(), 1))


NO_JSON = r"train\.json: not a JSON file in UTF-8: {}"
add(
    "COCO files",
    Coco,
    ("JSON cut short", REFUSED, NO_JSON.format(".* at character"), text(half)),
    ("JSON of zero bytes", REFUSED, NO_JSON.format("Expecting value"), text(lambda _: b"")),
    ("text after the JSON", REFUSED, NO_JSON.format("Extra data"), text(lambda d: d + b"}")),
    ("NaN", REFUSED, r"train\.json: NaN is not .*\"bbox\": \[NaN", put("[2,", "[NaN,")),
    ("Infinity", REFUSED, r"train\.json: Infinity is not .*\"bbox\"", put("[2,", "[Infinity,")),
    ("number of 5000 digits", REFUSED, NO_JSON.format(".*digits"), put("[2,", f"[{'9' * 5000},")),
    ("UTF-16", REFUSED, NO_JSON.format("'utf-8' codec"),
     text(lambda data: data.decode().encode("utf-16"))),
    ("Latin-1", REFUSED, NO_JSON.format("'utf-8' codec"),
     text(lambda data: data.replace(b"cat", b"c\xe4t"))),
    ("byte order mark", HANDLED, "", text(lambda data: b"\xef\xbb\xbf" + data)),
    ("nested 100000 deep", REFUSED, r"train\.json: .*nested too deep",
     text(lambda data: b'{"info": ' + b"[" * 100_000)),
    ("half of a surrogate pair", REFUSED, r"train\.json: .*ud800.* has half of a surrogate pair",
     lambda d: d.categories((1, "cat\ud800"))),
    ("a list twice", REFUSED, r"train\.json: has the list 'images' twice",
     put('{"images"', '{"images": [], "images"')),
    ("a key twice", REFUSED, r"train\.json: the key 'id' is twice in .*a\.png",
     put('"id": 1,', '"id": 1, "id": 2,')),
    ("list at the top", REFUSED, r"train\.json: no list 'images'", text(lambda _: b"[]")),
    ("no list of annotations", REFUSED, r"train\.json: no list 'annotations'",
     lambda d: d.splits["train"].pop("annotations")),
    ("object in place of a list", REFUSED, r"train\.json: no list 'images'",
     lambda d: d.splits["train"].update(images={"1": "a.png"})),
    ("record that is no object", REFUSED, r"train\.json: annotations\[2\] is 'box', not an object",
     lambda d: d.splits["train"]["annotations"].append("box")),
    ("image without a name", REFUSED, r"train\.json: images\[2\] has no 'file_name'", named(...)),
    ("image without an id", REFUSED, r"train\.json: images\[2\] has no 'id'",
     lambda d: d.listed("x.png", id=...)),
    ("empty JSON in place of a split", REFUSED, r"train\.json: no list 'images'",
     text(lambda _: b"{}")),
    ("folder in place of the JSON", REFUSED, r"no split named 'train'",
     lambda d: d.instead("train.json", os.mkdir)),
    ("no file for a split", REFUSED, r"no split named 'test'. Looked for",
     lambda d: d.instead("test.json", lambda _: None)),
    ("two files for a split", REFUSED, r"split 'train' has several annotation files: ",
     lambda d: d.put("annotations/train.json", "{}")),
    ("both layouts", REFUSED, r"both a COCO and a Pascal VOC layout",
     lambda d: d.put("ImageSets/Main/train.txt", "a\n")),
)  # fmt: skip

SIZES = r"a\.png image 1 annotated_size {}, picture 32 x 24"
add(
    "images and ids",
    Coco,
    ("size of another picture", REFUSED, SIZES.format("64 x 48"),
     first("images", width=64, height=48)),
    ("width and height exchanged", REFUSED, SIZES.format("24 x 32"),
     first("images", width=24, height=32)),
    ("size that is no number", REFUSED, SIZES.format("-1 x 24"), first("images", width="wide")),
    ("negative size", REFUSED, SIZES.format("-32 x 24"), first("images", width=-32)),
    ("infinite size", REFUSED, SIZES.format("inf x 24"), put('"width": 32', '"width": 1e999')),
    ("size as text", HANDLED, "", first("images", width="32", height="24.0")),
    ("no size", HANDLED, "", lambda d: d.splits["train"]["images"][0].pop("width")),
    ("image id twice", REFUSED, r"image ids are unique[\s\S]*x\.png image 1",
     raw("x.png", PNG, id=1, box=None)),
    ("image listed twice", REFUSED, r"files are listed once[\s\S]*a\.png image 3",
     lambda d: d.listed("a.png")),
    ("image in both splits", REFUSED, r"files are listed once[\s\S]*a\.png image 2",
     lambda d: d.listed("images/train/a.png", split="test")),
    ("box id twice", REFUSED, r"box ids are unique[\s\S]*a\.png image 1 box 1",
     lambda d: d.box(id=1)),
    ("box without an id", HANDLED, "", lambda d: d.box([4, 4, 5, 5], id=...),
     {"images/train/a.png": [CORNERS, [4, 4, 9, 9]]}),
    ("ids as text", HANDLED, "", first("annotations", image_id="1", category_id="1")),
    ("ids as decimals", HANDLED, "", first("annotations", image_id=1.0, category_id=1.0)),
    ("true as an id", REFUSED, r"box 1 bbox \[2, 3, 10, 8\], category True[\s\S]*add the category",
     first("annotations", category_id=True)),
    ("list as an id", REFUSED, r"box 1 bbox .*, category \[1\]",
     first("annotations", category_id=[1])),
    ("image without objects", HANDLED, "1 empty", raw("x.png", PNG, box=None),
     {"images/train/x.png": []}),
    ("100000 boxes on an image", HANDLED, r"warning: at most 500 boxes[\s\S]*boxes 100001",
     lambda d: d.splits["train"]["annotations"].extend(
         {"id": n, "image_id": 1, "category_id": 1, "bbox": BOX} for n in range(3, 100_003)),
     {"images/train/a.png": [*repeat(CORNERS, 100_001)]}),
    ("split without images", REFUSED, r"test\.json: lists no images for the split 'test'",
     lambda d: d.splits["test"].update(images=[], annotations=[])),
    ("split without boxes", REFUSED, r"split test, images 1, boxes 0",
     lambda d: d.splits["test"].update(annotations=[])),
)  # fmt: skip

BAD_BOXES = {
    "negative width": ([12, 3, -4, 5], "x2 > x1", r"bbox \[12, 3, -4, 5\]"),
    "width of zero": ([2, 3, 0, 5], "x2 > x1", r"bbox \[2, 3, 0, 5\]"),
    "height of zero": ([2, 3, 5, 0], "y2 > y1", r"bbox \[2, 3, 5, 0\]"),
    "1 px wide": ([2, 3, 1, 5], "both sides are longer than 1 px", r"bbox \[2, 3, 1, 5\]"),
    "negative corner": ([-3, 3, 10, 8], "boxes lie inside their image", r"bbox \[-3, 3, 10, 8\]"),
    "box wholly outside": ([99, 99, 9, 9], "boxes lie inside", r"bbox \[99, 99, 9, 9\]"),
    "x2 y2 in place of width and height": (
        [20, 10, 30, 22], "boxes lie inside", r"bbox \[20, 10, 30, 22\]"),
    "huge whole number": ([2, 3, 10**400, 8], "coordinates are finite", r"bbox \[nan"),
    "three numbers": ([2, 3, 10], "coordinates are finite", r"bbox \[nan"),
    "five numbers": ([2, 3, 10, 8, 1], "coordinates are finite", r"bbox \[nan"),
    "text in place of a box": ("2,3,10,8", "coordinates are finite", r"bbox \[nan"),
    "object in place of a box": ({"x": 2}, "coordinates are finite", r"bbox \[nan"),
    "list in a coordinate": ([[2], 3, 10, 8], "coordinates are finite", r"bbox \[nan"),
    "null in a coordinate": ([2, None, 10, 8], "coordinates are finite", r"bbox \[2, nan"),
    "no bbox": (..., "coordinates are finite", r"bbox \[nan"),
}  # fmt: skip
BAD_FIELDS = {
    "unknown category": ({"category_id": 7}, "categories are known", "bbox .*"),
    "no category": ({"category_id": None}, "categories are known", "bbox .*"),
    "unknown image": ({"image_id": 99}, "each box belongs to a listed image", "bbox .*"),
    "iscrowd of 2": ({"iscrowd": 2}, "crowd .* is 0 or 1", "bbox .*"),
    "iscrowd that is no number": ({"iscrowd": "yes"}, "crowd .* is 0 or 1", "bbox .*"),
}


def both(group, layout, name, check, value, spoil, box):
    """The kinds of boxes end in two ways: refused, or with on_bad_box: drop, dropped."""
    refused = rf"{check}[\s\S]*{box}.*{value}[\s\S]*remedy"
    add(
        group, layout, (name, REFUSED, refused, spoil), (name, DROPPED, rf"{value}.*{check}", spoil)
    )


for _name, (_box, _check, _value) in BAD_BOXES.items():
    both("boxes", Coco, _name, _check, _value, lambda d, b=_box: d.box(b), r"a\.png image 1 box 3")
for _name, (_more, _check, _value) in BAD_FIELDS.items():
    both("boxes", Coco, _name, _check, _value, lambda d, m=_more: d.box(**m), "box 3")
add(
    "boxes",
    Coco,
    ("coordinate of 1e999", REFUSED, r"a\.png image 1 box 1 bbox \[inf", put("[2,", "[1e999,")),
    ("numbers as text", HANDLED, "", first("annotations", bbox=["2", "3.0", "10", "8"])),
    ("0.3 px outside (clipped)", HANDLED, "", first("annotations", bbox=[-0.3, 0, 32.6, 24.2]),
     {"images/train/a.png": [[0, 0, 32, 24]]}),
)  # fmt: skip


def objects(count, split="train"):
    return lambda d: [d.box(split=split, category_id=2) for _ in range(count)]


def all_of(*changes):
    return lambda d: [change(d) for change in changes]


def classes(*pairs):
    return lambda d: d.categories(*pairs)


TWO = classes((1, "cat"), (2, "dog"))
TWICE = [CORNERS, CORNERS]
add(
    "categories",
    Coco,
    ("ids with gaps", HANDLED, "", all_of(classes((0, "a"), (90, "b"), (1, "cat"))) ),
    ("category that no box has", HANDLED, "left out: dog", TWO),
    ("rare class", HANDLED, r"warning: each class has at least 10 boxes[\s\S]*class dog, train 1",
     all_of(TWO, objects(1), objects(1, "test")),
     {"images/train/a.png": TWICE, "images/test/c.png": TWICE}),
    ("class in train only", HANDLED, r"warning: each train class is in test[\s\S]*class dog",
     all_of(TWO, objects(1)), {"images/train/a.png": TWICE}),
    ("class in test only", REFUSED, r"each test class is in train[\s\S]*class dog, train 0, test 1",
     all_of(TWO, objects(1, "test"))),
    ("category with an empty name", REFUSED, r"train\.json: category 2 has an empty name",
     classes((1, "cat"), (2, " "))),
    ("one name for two ids", REFUSED, r"'cat' is the name of categories 1 and 2",
     all_of(classes((1, "cat"), (2, "cat")), objects(1))),
    ("two names for one id", REFUSED, r"test\.json: category 1 is 'dog' here and 'cat' before",
     lambda d: d.splits["test"].update(categories=[{"id": 1, "name": "dog"}])),
    ("category without a name", REFUSED, r"train\.json: categories\[1\] has no 'name'",
     classes((1, "cat"), (2, None))),
)  # fmt: skip


def xml(content):
    """Replaces the first annotation of a VOC data set."""
    return lambda d: d.xml.update(a=content(d) if callable(content) else content)


def entity_bomb(data):
    lines = [f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)]
    return f'<!DOCTYPE a [<!ENTITY a0 "ha">{"".join(lines)}]><annotation>&a9;</annotation>'


def prefixed(text):
    return lambda d: text + d.xml["a"]


def encoded(name):
    """Writes the first annotation in another encoding, and says so in it."""

    def spoil(data):
        data.xml["a"] = f'<?xml version="1.0" encoding="{name}"?>' + data.xml["a"]
        data.rewrite("Annotations/a.xml", lambda text: text.decode().encode(name, "ignore"))

    return spoil


def listing(change):
    return lambda d: d.rewrite("ImageSets/Main/train.txt", change)


NO_XML = r"a\.xml: not an XML file: "
DOCTYPE = r"a\.xml: has a <!DOCTYPE>"
DEEP = "<part>" * 50_000 + "</part>" * 50_000
add(
    "VOC files",
    Voc,
    ("XML cut short", REFUSED, NO_XML, lambda d: d.rewrite("Annotations/a.xml", half)),
    ("XML of zero bytes", REFUSED, NO_XML, xml("")),
    ("JSON in place of XML", REFUSED, NO_XML, xml("{}")),
    ("entity bomb", REFUSED, DOCTYPE, xml(entity_bomb)),
    ("external entity", REFUSED, DOCTYPE,
     xml('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>')),
    ("external document type", REFUSED, DOCTYPE,
     xml(prefixed('<!DOCTYPE annotation SYSTEM "http://example.com/x.dtd">'))),
    ("entity that is not declared", REFUSED, NO_XML, xml("<annotation>&x;</annotation>")),
    ("encoding that does not exist", REFUSED, NO_XML,
     xml(prefixed('<?xml version="1.0" encoding="x"?>'))),
    ("encoding of several bytes", REFUSED, NO_XML + ".*multi-byte",
     xml(prefixed('<?xml version="1.0" encoding="big5"?>'))),
    ("bytes that are not UTF-8", REFUSED, NO_XML,
     lambda d: d.rewrite("Annotations/a.xml", lambda x: x.replace(b"cat", b"c\xe4t"))),
    ("Latin-1 that says so", HANDLED, "", encoded("iso-8859-1")),
    ("UTF-16 that says so", HANDLED, "", encoded("utf-16")),
    ("XML nested 50000 deep", HANDLED, "",
     xml(lambda d: d.xml["a"].replace("</size>", "</size>" + DEEP))),
    ("no size in the XML", HANDLED, "", xml(lambda d: f"<annotation>{d.object()}</annotation>")),
    ("size of 0 x 0", REFUSED, r"a\.png annotated_size 0 x 0, picture 32 x 24",
     xml(lambda d: d.annotation(d.object(), "<width>0</width><height>0</height>"))),
    ("list that is not UTF-8", REFUSED, r"train\.txt: not UTF-8", listing(lambda _: b"\xff\n")),
    ("list with a column of numbers", REFUSED, r"train\.txt: 2 of 2 images .*a 1, b -1",
     listing(lambda _: b"a 1\nb -1\n")),
    ("list with CRLF, blank lines, byte order mark", HANDLED, "",
     listing(lambda _: b"\xef\xbb\xbfa\r\n\r\n  b \r\n")),
    ("empty list", REFUSED, r"train\.txt: lists no images", listing(lambda _: b"")),
    ("listed image without annotation", REFUSED, r"train\.txt: 1 of 3 images have no file .*: lost",
     listing(lambda text: text + b"lost\n")),
    ("VOC image listed twice", REFUSED, r"files are listed once[\s\S]*a\.png",
     listing(lambda text: text + b"a\n")),
    ("VOC image in both splits", REFUSED, r"files are listed once[\s\S]*c\.png",
     listing(lambda text: text + b"c\n")),
)  # fmt: skip
VOC_BOXES = {
    "counted from 0": ((0, 4, 12, 11), "boxes lie inside", "xmin 0 ymin 4 xmax 12 ymax 11"),
    "one past the last pixel": (
        (3, 4, 33, 11),
        "boxes lie inside",
        "xmin 3 ymin 4 xmax 33 ymax 11",
    ),
    "xmin and xmax exchanged": ((12, 4, 3, 11), "x2 > x1", "xmin 12 ymin 4 xmax 3 ymax 11"),
    "VOC box of 1 px": ((5, 7, 5, 9), "both sides are longer", "xmin 5 ymin 7 xmax 5 ymax 9"),
    "VOC coordinate that is no number": (("left", 4, 12, 11), "coordinates are", "xmin nan ymin 4"),
    "VOC coordinate that is absent": (("", 4, 12, 11), "coordinates are", "xmin nan ymin 4"),
    "VOC coordinate of infinity": ((3, 4, "inf", 11), "coordinates are", "xmin 3 ymin 4 xmax inf"),
}
VOC_FIELDS = {
    "object without a name": ({"name": ""}, "categories are known", "xmin 3 .*"),
    "difficult of 2": ({"more": "<difficult>2</difficult>"}, "crowd .* is 0 or 1", "xmin 3 .*"),
}
for _name, (_box, _check, _value) in VOC_BOXES.items():
    both("VOC boxes", Voc, _name, _check, _value, lambda d, b=_box: d.second(*b), r"a\.png box a:2")
for _name, (_more, _check, _value) in VOC_FIELDS.items():
    both(
        "VOC boxes", Voc, _name, _check, _value, lambda d, m=_more: d.second(**m), r"a\.png box a:2"
    )
add(
    "VOC boxes",
    Voc,
    ("decimals and spaces", HANDLED, "", lambda d: d.second(" 5.0 ", "7\n", "12.50", 11),
     {"JPEGImages/a.png": [CORNERS, [4, 6, 12.5, 11]]}),
)  # fmt: skip
