"""Two small good data sets, one a layout, that the corpus spoils."""

import io
import json
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (32, 24)
BOX = [2, 3, 10, 8]
CORNERS = [2, 3, 12, 11]
"""`BOX` as the index has it."""
VOC_BOX = (3, 4, 12, 11)
"""`BOX` as Pascal VOC writes it."""


@cache
def pixels(seed: int = 0, size: tuple[int, int] = SIZE) -> Image.Image:
    """A picture of noise; not to be changed."""
    values = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(values)


def saved(image: Image.Image, format: str = "PNG", **options) -> bytes:
    """The bytes of a picture file."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png(width: int, height: int, depth: int = 8, colours: int = 2, rows: bytes = b"", more=()):
    """A PNG file made by hand, of rows that Pillow would not write; `more` are chunks."""

    def chunk(kind, data):
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    chunks = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks)


class Data:
    """What both have: pictures, and what is done to the files after all is written."""

    pictures = ""
    """Where new pictures are put, below the folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.last: list[Callable[[], object]] = []
        for seed, place in enumerate(self.places()):
            self.put(place, saved(pixels(seed)))

    def places(self) -> list[str]:
        """The pictures of the good data set."""
        raise NotImplementedError

    def put(self, name: str, data: bytes | str) -> Path:
        """Write a file below the folder, at once."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def rewrite(self, name: str, change: Callable[[bytes], bytes]) -> None:
        """Change a file's bytes when all is written."""
        path = self.folder / name
        self.last.append(lambda: path.write_bytes(change(path.read_bytes())))

    def instead(self, name: str, make: Callable[[Path], object]) -> None:
        """Make something else in place of a file when all is written."""
        path = self.folder / name

        def replace():
            path.unlink(missing_ok=True)
            make(path)

        self.last.append(replace)

    def write(self) -> None:
        """Write the annotations, and spoil what is to be spoilt last."""
        self.annotations()
        for change in self.last:
            change()

    def annotations(self) -> None:
        """Write the annotations."""
        raise NotImplementedError


class Coco(Data):
    """Two training images, one test image; a box of class cat on each."""

    pictures = "images/train"

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.splits = {
            split: {"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
            for split in ("train", "test")
        }
        for place in self.places():
            _, split, name = place.split("/")
            self.listed(name, split)
            self.box(split=split, image_id=len(self.splits[split]["images"]))

    def places(self):
        return ["images/train/a.png", "images/train/b.png", "images/test/c.png"]

    def listed(self, name, split="train", **more):
        """List an image; a value of ... leaves the key out."""
        images = self.splits[split]["images"]
        record = {"id": len(images) + 1, "file_name": name, "width": SIZE[0], "height": SIZE[1]}
        images.append({k: v for k, v in (record | more).items() if v is not ...})

    def box(self, bbox=tuple(BOX), split="train", **more):
        """Add a box, on the first image if not told otherwise; ... leaves a key out."""
        boxes = self.splits[split]["annotations"]
        record = {"id": len(boxes) + 1, "image_id": 1, "category_id": 1, "bbox": bbox}
        boxes.append({k: v for k, v in (record | more).items() if v is not ...})

    def picture(self, name, data, box=tuple(BOX), **more):
        """Add a training image with a box."""
        self.put(f"{self.pictures}/{name}", data)
        self.listed(name, **more)
        if box:
            self.box(box, image_id=len(self.splits["train"]["images"]))

    def categories(self, *pairs):
        """Set the categories of both splits."""
        for content in self.splits.values():
            content["categories"] = [{"id": key, "name": name} for key, name in pairs]

    def annotations(self):
        for split, content in self.splits.items():
            self.put(f"{split}.json", json.dumps(content))


class Voc(Data):
    """The same as Pascal VOC."""

    pictures = "JPEGImages"

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.lists = {"train": "a\nb\n", "test": "c\n"}
        self.xml = {name: self.annotation(self.object()) for name in "abc"}

    def places(self):
        return [f"JPEGImages/{name}.png" for name in "abc"]

    def annotation(self, objects="", size="<width>32</width><height>24</height>"):
        return f"<annotation><size>{size}</size>{objects}</annotation>"

    def object(self, *corners, name="<name>cat</name>", more=""):
        """An <object>."""
        keys = ("xmin", "ymin", "xmax", "ymax")
        values = "".join(
            f"<{key}>{value}</{key}>" for key, value in zip(keys, corners or VOC_BOX, strict=True)
        )
        return f"<object>{name}{more}<bndbox>{values}</bndbox></object>"

    def second(self, *corners, **more):
        """Give image a a second object."""
        self.xml["a"] = self.annotation(self.object() + self.object(*corners, **more))

    def annotations(self):
        for name, text in self.xml.items():
            self.put(f"Annotations/{name}.xml", text)
        for split, text in self.lists.items():
            self.put(f"ImageSets/Main/{split}.txt", text)
