"""Detections in images, drawn and as JSON, by an exported detector. No torch."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from components.dataset.resize_rule import resized_size
from components.draw import Mark, class_colour, draw_marks
from components.errors import InputError
from components.onnx_model.detector import OnnxDetector
from components.progress import progress

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
"""What counts as an image in a folder; files that are named are tried whatever they are called."""
JPEG_QUALITY = 92


def predict(
    model: Path, inputs: Sequence[Path], output: Path, *, score: float = 0.5, cuda: bool = False
) -> list[dict[str, Any]]:
    """Detect objects in images; write each image with its boxes, and ``detections.json``.

    The JSON is a list in the order of the images: ``file``, ``width`` and ``height`` in pixels,
    and ``detections``, best first: ``box`` x1 y1 x2 y2 in the image's own pixels (upright, as
    its EXIF orientation says), ``label`` 1..C, ``class`` and ``score``.

    Args:
        model: ONNX file of export_onnx.
        inputs: image files, and folders of them (not their subfolders).
        output: folder of the results; it is made.
        score: lowest score that is drawn and written.
        cuda: run on the GPU.

    Returns:
        What is in the JSON.

    Raises:
        InputError: an input is absent, a folder has no images, an image or the model cannot be
            read, or the output folder cannot be written to or is one of the images'.
    """
    files = find_images(inputs)
    detector = OnnxDetector(model, cuda=cuda)
    prepare(output, files)
    results = []
    for file, name in zip(
        progress(files, len(files), "predict"), picture_names(files), strict=True
    ):
        image = open_image(file)
        found = detect(detector, image, score)
        size = {"width": image.width, "height": image.height}
        results.append({"file": file.as_posix(), **size, "detections": found})
        draw_marks(image, marks(found)).save(output / name, quality=JPEG_QUALITY)
    write_json(output / "detections.json", results)
    return results


def find_images(inputs: Sequence[Path]) -> list[Path]:
    """The image files that are named or lie in the folders named, these in order of name.

    Raises:
        InputError: a path is absent, or a folder has no images.
    """
    files: list[Path] = []
    for path in inputs:
        if path.is_dir():
            inside = sorted(
                p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()
            )
            if not inside:
                raise InputError(
                    f"{path}: no images in this folder ({', '.join(sorted(SUFFIXES))}); "
                    "subfolders are not searched"
                )
            files += inside
        elif path.exists():
            files.append(path)
        else:
            raise InputError(f"{path}: no such file or folder")
    return list(dict.fromkeys(files))


def picture_names(files: Sequence[Path]) -> Iterator[str]:
    """A file name for each picture: the image's own, numbered where two share one.

    JPEG stays JPEG, the rest becomes PNG.
    """
    used: set[str] = set()
    for file in files:
        suffix = ".jpg" if file.suffix.lower() in {".jpg", ".jpeg"} else ".png"
        name, number = file.stem + suffix, 1
        while name.lower() in used:
            number += 1
            name = f"{file.stem}_{number}{suffix}"
        used.add(name.lower())
        yield name


def prepare(output: Path, files: Sequence[Path]) -> None:
    """Make the output folder.

    Raises:
        InputError: it cannot be made, or it holds some of the images, which would be overwritten.
    """
    if any(file.resolve().parent == output.resolve() for file in files):
        raise InputError(f"{output}: the images lie in this folder; choose another for the output")
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / ".writable").touch()
        (output / ".writable").unlink()
    except OSError as error:
        raise InputError(
            f"{output}: the output folder cannot be written to ({error.strerror})"
        ) from None


def open_image(path: Path) -> Image.Image:
    """An image file as RGB, turned upright as its EXIF orientation says.

    Raises:
        InputError: the file does not decode.
    """
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read as an image ({error})") from None


def detect(detector: OnnxDetector, image: Image.Image, score: float) -> list[dict[str, Any]]:
    """The detections in one image that score high enough, boxes in its own pixels."""
    height, width = resized_size(image.height, image.width, detector.metadata.resize)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    found = detector.detect(np.asarray(resized).transpose(2, 0, 1)[None])
    scale = np.array([image.width / width, image.height / height] * 2)
    return [
        {
            "box": [round(float(v), 2) for v in found.boxes[0, n] * scale],
            "label": int(found.labels[0, n]),
            "class": detector.metadata.classes[found.labels[0, n] - 1],
            "score": round(float(found.scores[0, n]), 4),
        }
        for n in range(int(found.count[0]))
        if found.scores[0, n] >= score
    ]


def marks(found: Sequence[dict[str, Any]]) -> list[Mark]:
    """Detections as boxes to be drawn."""
    return [
        Mark(tuple(d["box"]), f"{d['class']}  {d['score']:.2f}", class_colour(d["label"]))
        for d in found
    ]


def write_json(path: Path, content: Any) -> None:
    """Write JSON aside, then rename it into place."""
    aside = path.with_suffix(".partial")
    aside.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    aside.replace(path)
