"""The embedded demo data: scenes of handwritten digits on photos, in COCO layout.

No download: both the digits and the photos come with scikit-learn. The scenes are COMPOSED,
no camera has seen them; the folder's README.txt says so. The same arguments give the same
bytes on every machine: only `Generator.random` and integer resampling are used, and the PNG
files are stored uncompressed, because what zlib makes of an image differs between its builds.
"""

import filecmp
import json
import shutil
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from components.errors import InputError
from components.progress import progress

CLASSES = tuple("0123456789")
LANDSCAPE = (160, 128)
"""Width and height of a scene, pixels; a quarter of the scenes is upright (128 x 160)."""
PORTRAIT_SHARE = 0.25
EMPTY_SHARE = 0.05
"""Share of the training scenes that have no object."""
TEST_SHARE = 0.2
"""Share of the digit instances of each class that only the test scenes show."""
MAX_DIGITS = 6
DIGIT_SIZE = (20, 48)
"""Smallest and largest height of a digit, pixels (its box may be two higher: soft ends)."""
MAX_IOU = 0.1
INK_THRESHOLD = 64
"""A pixel belongs to the digit's box from this alpha on (of 255: a quarter of full ink)."""

README = """\
Demo data of fourstep: {train} training and {test} test scenes, COCO layout, seed {seed}.

The scenes are COMPOSED: handwritten digits pasted on crops of two photos, with random place,
size and colour. They exist to show that a pipeline works, not to measure a detector for use.

Digits: scikit-learn's load_digits, the test part of "Optical Recognition of Handwritten Digits"
(E. Alpaydin, C. Kaynak; UCI Machine Learning Repository; made with NIST's preprocessing
programs), 8 x 8 pixels, 0..16. Training and test scenes share no digit instance.

Photos, as scikit-learn states them (load_sample_images; Creative Commons Attribution 2.0):
china.jpg by danielbuechele, flower.jpg by vultilion, both from flickr.com; cropped, mirrored
and washed out.

Boxes are tight around the pixels where the digit covers at least a quarter of the background.
Made by `fourstep demo-data`; the same arguments give the same bytes.
"""


@dataclass(frozen=True)
class Sources:
    """What scenes are made of: digits (N, 8, 8) 0..16, their class (N,), photos (H, W, 3) uint8."""

    digits: np.ndarray
    targets: np.ndarray
    photos: list[np.ndarray]


@dataclass(frozen=True)
class Scene:
    """A composed picture (H, W, 3) uint8, its boxes [x1, y1, x2, y2] and class numbers."""

    pixels: np.ndarray
    boxes: list[list[int]]
    labels: list[int]


def make_demo_data(
    folder: Path, *, train_images: int = 480, test_images: int = 120, seed: int = 0
) -> Path:
    """Make the demo data in `folder`, which appears whole or not at all.

    Raises:
        InputError: a count that is not positive, or something else lies in `folder`.
    """
    counts = {"train": train_images, "test": test_images}
    for split, count in counts.items():
        if count < 1:
            raise InputError(f"{split} images: {count} is not possible; at least 1")
    folder = Path(folder)
    aside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        write_data(aside, counts, seed)
        if not folder.exists():
            aside.rename(folder)
        elif not same_tree(aside, folder):
            raise InputError(
                f"{folder} already exists and holds something else; it stays as it is. "
                "Move it away, or name another folder."
            )
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def write_data(folder: Path, counts: dict[str, int], seed: int) -> None:
    """Write images, annotations and README.txt of all splits below `folder`."""
    sources = load_sources()
    instances = split_instances(sources.targets, seed)
    (folder / "annotations").mkdir(parents=True)
    (folder / "README.txt").write_text(README.format(seed=seed, **counts), encoding="utf-8")
    for number, (split, count) in enumerate(counts.items()):
        generator = np.random.Generator(np.random.PCG64([seed, number]))
        empty = EMPTY_SHARE if split == "train" else 0.0
        scenes = compose_scenes(sources, instances[split], count, empty, generator)
        shown = progress(scenes, count, f"demo data, {split}")
        coco = write_split(folder / "images" / split, shown)
        text = json.dumps(coco, sort_keys=True, separators=(",", ":"))
        path = folder / "annotations" / f"instances_{split}.json"
        path.write_text(text + "\n", encoding="utf-8")


def load_sources() -> Sources:
    """The digits and photos that scikit-learn carries."""
    digits = load_digits()
    photos = load_sample_images().images
    return Sources(digits.images, digits.target, [np.asarray(photo) for photo in photos])


def split_instances(targets: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Digit instances for `train` and `test`, disjoint, the same share of each class."""
    generator = np.random.Generator(np.random.PCG64([seed, 2]))
    shuffled = np.argsort(generator.random(len(targets)), kind="stable")
    train, test = [], []
    for target in range(len(CLASSES)):
        members = shuffled[targets[shuffled] == target]
        cut = round(len(members) * TEST_SHARE)
        test.append(members[:cut])
        train.append(members[cut:])
    return {"train": np.concatenate(train), "test": np.concatenate(test)}


def compose_scenes(
    sources: Sources,
    instances: np.ndarray,
    count: int,
    empty_share: float,
    generator: np.random.Generator,
) -> Iterator[Scene]:
    """`count` scenes that show `instances`; `empty_share` of them show none."""
    order = np.argsort(generator.random(count), kind="stable")
    is_empty = np.isin(np.arange(count), order[: round(count * empty_share)])
    for empty in is_empty:
        number = 0 if empty else uniform(generator, 1, MAX_DIGITS)
        chosen = [instances[uniform(generator, 0, len(instances) - 1)] for _ in range(number)]
        yield compose_scene(sources, chosen, generator)


def compose_scene(sources: Sources, instances: list[int], generator: np.random.Generator) -> Scene:
    """One scene: a crop of a photo with the given digits where there is room for them."""
    scene = Scene(background(sources.photos, generator), [], [])
    is_light = bool(scene.pixels.min() >= 128)
    for instance in instances:
        alpha = draw_digit(sources.digits[instance], uniform(generator, *DIGIT_SIZE))
        place = free_place(scene, alpha, generator)
        if place is not None:
            ink = (generator.random(3) * 80).astype(np.int32)
            paste(scene.pixels, alpha, place, ink if is_light else 255 - ink)
            scene.boxes.append(box_at(alpha, place))
            scene.labels.append(int(sources.targets[instance]))
    return scene


def uniform(generator: np.random.Generator, low: int, high: int) -> int:
    """An integer in [low, high], from `random` alone: its stream is stable across numpys."""
    return low + int(generator.random() * (high - low + 1))


def background(photos: list[np.ndarray], generator: np.random.Generator) -> np.ndarray:
    """A crop (H, W, 3) uint8 of one photo, washed out to its dark or its light half.

    So ink of the other half stands out everywhere, also where the photo is striped.
    """
    width, height = LANDSCAPE if generator.random() >= PORTRAIT_SHARE else LANDSCAPE[::-1]
    photo = photos[uniform(generator, 0, len(photos) - 1)]
    top = uniform(generator, 0, photo.shape[0] - height)
    left = uniform(generator, 0, photo.shape[1] - width)
    crop = photo[top : top + height, left : left + width]
    crop = crop[:, ::-1] if generator.random() < 0.5 else crop
    return crop // 2 + np.uint8(0 if generator.random() < 0.5 else 128)


def draw_digit(digit: np.ndarray, height: int) -> np.ndarray:
    """A digit (8, 8), 0..16, as alpha (h, w) uint8, about `height` pixels high, cut to the ink.

    A margin is drawn first, so that strokes end softly rather than at the tile's edge.
    """
    alpha = np.pad(np.round(digit * (255 / 16)).astype(np.uint8), 1)
    side = round(height * alpha.shape[0] / digit.shape[0])
    drawn = np.asarray(Image.fromarray(alpha).resize((side, side), Image.Resampling.BICUBIC))
    return drawn[tight(drawn, 1)]


def tight(alpha: np.ndarray, threshold: int) -> tuple[slice, slice]:
    """The rows and columns that hold all pixels of at least `threshold`."""
    ink = alpha >= threshold
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def box_at(alpha: np.ndarray, place: tuple[int, int]) -> list[int]:
    """The box [x1, y1, x2, y2] of a digit's ink, pasted with its corner at (left, top)."""
    rows, columns = tight(alpha, INK_THRESHOLD)
    left, top = place
    return [left + columns.start, top + rows.start, left + columns.stop, top + rows.stop]


def free_place(
    scene: Scene, alpha: np.ndarray, generator: np.random.Generator, attempts: int = 50
) -> tuple[int, int] | None:
    """A corner (left, top) where the digit covers the others by at most MAX_IOU, or none."""
    for _ in range(attempts):
        left = uniform(generator, 0, scene.pixels.shape[1] - alpha.shape[1])
        top = uniform(generator, 0, scene.pixels.shape[0] - alpha.shape[0])
        box = box_at(alpha, (left, top))
        if all(iou(box, other) <= MAX_IOU for other in scene.boxes):
            return left, top
    return None


def iou(a: list[int], b: list[int]) -> float:
    """Intersection over union of two boxes [x1, y1, x2, y2]."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (area(a) + area(b) - shared)


def area(box: list[int]) -> int:
    """The area of a box [x1, y1, x2, y2], pixels."""
    return (box[2] - box[0]) * (box[3] - box[1])


def paste(pixels: np.ndarray, alpha: np.ndarray, place: tuple[int, int], ink: np.ndarray) -> None:
    """Blend ink (3,) 0..255 into `pixels` through alpha (h, w), its corner at (left, top)."""
    left, top = place
    target = pixels[top : top + alpha.shape[0], left : left + alpha.shape[1]]
    strong = alpha.astype(np.int32)[..., None]
    target[:] = (target * (255 - strong) + ink * strong + 127) // 255


def write_split(folder: Path, scenes: Iterable[Scene]) -> dict[str, Any]:
    """Write the scenes of one split as PNG files and return their COCO annotations."""
    folder.mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, scene in enumerate(scenes, start=1):
        name = f"{image_id:06d}.png"
        (folder / name).write_bytes(stored_png(scene.pixels))
        height, width = scene.pixels.shape[:2]
        images.append({"id": image_id, "file_name": name, "width": width, "height": height})
        for box, label in zip(scene.boxes, scene.labels, strict=True):
            annotations.append(annotation(len(annotations) + 1, image_id, box, label))
    return {
        "info": {"description": f"fourstep demo data, {folder.name}: composed scenes"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": n, "name": name} for n, name in enumerate(CLASSES, start=1)],
    }


def annotation(number: int, image_id: int, box: list[int], label: int) -> dict[str, Any]:
    """One COCO annotation; `label` counts from 0, category ids from 1."""
    return {
        "id": number,
        "image_id": image_id,
        "category_id": label + 1,
        "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
        "area": area(box),
        "iscrowd": 0,
    }


def stored_png(pixels: np.ndarray) -> bytes:
    """A PNG file of (H, W, 3) uint8 pixels, uncompressed (PNG specification, sections 5 and 10).

    Its one deflate block is a stored one, so the picture may have at most 65,535 bytes.
    """
    height, width, _ = pixels.shape
    rows = np.pad(pixels.reshape(height, width * 3), ((0, 0), (1, 0))).tobytes()
    block = struct.pack("<BHH", 1, len(rows), len(rows) ^ 0xFFFF) + rows
    stream = b"\x78\x01" + block + struct.pack(">I", zlib.adler32(rows))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", stream), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def same_tree(a: Path, b: Path) -> bool:
    """Whether two folders hold the same files with the same bytes."""
    names = [sorted(p.relative_to(f) for p in f.rglob("*") if p.is_file()) for f in (a, b)]
    return names[0] == names[1] and all(
        filecmp.cmp(a / name, b / name, shallow=False) for name in names[0]
    )
