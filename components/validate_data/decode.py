"""Decode every image once: what its header says, whether its pixels come out, its hash."""

import hashlib
import io
import math
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from PIL import Image, UnidentifiedImageError

from components.dataset.threaded import threaded
from components.validate_data.layout import leads_out

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
"""What torchvision.io.decode_image reads in training, to the same pixels as Pillow."""
ANIMATED = ("WEBP", "GIF")
"""Formats of which training reads no single frame. Of an animated PNG it reads the first."""
MAX_PIXELS = 89_000_000
"""A picture with more is not decoded: 8 threads decode at a time, up to 4 bytes a pixel. Pillow
warns from 89.5 million on."""
KNOWN_FORMATS = (*FORMATS, "BMP", "TIFF")
"""What is recognised here, so that the message can name it."""
ORIENTATION = 0x0112
"""EXIF tag: 1 is upright; 2 to 8 ask the viewer to turn or mirror the picture."""


class Picture(NamedTuple):
    """What a file says; `error` is None if its pixels come out."""

    exists: bool = True
    sha256: str | None = None
    format: str | None = None
    real_width: float = math.nan
    real_height: float = math.nan
    orientation: float = math.nan
    error: str | None = None


TYPES = {"sha256": "str", "format": "str", "error": "str"}


def decode_all(folder: Path, files: Iterable[str]) -> pd.DataFrame:
    """One row a file, with the fields of a `Picture`.

    Threads suffice: Pillow and hashlib release the interpreter lock.
    """
    names = list(files)
    Image.init()  # its plug-ins load on first use, which two threads may not do at once

    def decode_one(name: str) -> Picture:
        return decode(folder, folder / name)

    with warnings.catch_warnings():
        # Of pictures that are refused below.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        pictures = threaded(decode_one, names, "images", min(8, os.cpu_count() or 1))
    return pd.DataFrame(pictures, columns=Picture._fields).astype(TYPES)


def decode(folder: Path, path: Path) -> Picture:
    """Read and decode one file of the data folder; one that a link outside leads to is not read."""
    if leads_out(folder, path):
        return Picture(error="a link out of the data folder; put a copy of the file there")
    if not path.is_file():
        return Picture(exists=False)
    data = path.read_bytes()
    picture = Picture(sha256=hashlib.sha256(data).hexdigest())
    try:
        return header_and_pixels(data, picture)
    except Image.DecompressionBombError as error:
        return picture._replace(error=f"too many pixels, not decoded; cut it into tiles ({error})")
    except UnidentifiedImageError:
        return picture._replace(error="not recognised as a picture")
    except Exception as error:  # noqa: BLE001 (Pillow's decoders raise many kinds)
        return picture._replace(error=f"{type(error).__name__}: {error}")


def header_and_pixels(data: bytes, picture: Picture) -> Picture:
    """With what the file's header says; raises what Pillow raises if the pixels do not decode."""
    with Image.open(io.BytesIO(data), formats=KNOWN_FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            size = f"{image.width} x {image.height}, the limit is {MAX_PIXELS} in all"
            raise Image.DecompressionBombError(size)
        name = format_name(image, data)
        width, height = float(image.width), float(image.height)
        image.load()
        orientation = image.getexif().get(ORIENTATION, 1)
    upright = float(orientation if orientation in range(1, 9) else 1)
    return picture._replace(format=name, real_width=width, real_height=height, orientation=upright)


def format_name(image: Image.Image, data: bytes) -> str:
    """The format's name; PNG with 16 bits a channel (byte 24 of the header) is one of its own.

    So is what is animated, where training would see a film in place of a picture.

    MPO is what Pillow calls a JPEG with a second picture behind the first (phones make them).
    """
    name = image.format or ""
    if name in ANIMATED and getattr(image, "is_animated", False):
        return f"{name} with several frames"
    if name == "PNG" and data[24] == 16:
        return "PNG with 16 bits"
    return "JPEG" if name == "MPO" else name
