"""Decode every image once: what its header says, whether its pixels come out, its hash."""

import hashlib
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image, UnidentifiedImageError

from components.dataset.threaded import threaded

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
"""What torchvision.io.decode_image reads in training."""
KNOWN_FORMATS = (*FORMATS, "BMP", "TIFF")
"""What is recognised here, so that the message can name it."""
ORIENTATION = 0x0112
"""EXIF tag: 1 is upright; 2 to 8 ask the viewer to turn or mirror the picture."""


def decode_all(folder: Path, files: Iterable[str]) -> pd.DataFrame:
    """One row a file: `exists`, `sha256`, `format`, `real_width`, `real_height`, `orientation`,
    `error` (None if it decodes).

    Threads suffice: Pillow and hashlib release the interpreter lock.
    """
    paths = [folder / file for file in files]
    Image.init()  # its plug-ins load on first use, which two threads may not do at once
    table = pd.DataFrame(threaded(decode, paths, "images", min(8, os.cpu_count() or 1)))
    return table.astype({"error": object, "sha256": object, "format": object})


def decode(path: Path) -> dict[str, Any]:
    """Read and decode one file; see `decode_all` for the keys."""
    row: dict[str, Any] = {
        "exists": path.is_file(),
        "sha256": None,
        "format": None,
        "real_width": float("nan"),
        "real_height": float("nan"),
        "orientation": float("nan"),
        "error": None,
    }
    if not row["exists"]:
        return row
    data = path.read_bytes()
    row["sha256"] = hashlib.sha256(data).hexdigest()
    try:
        row |= header_and_pixels(data)
    except UnidentifiedImageError:
        row["error"] = "not recognised as a picture"
    except Exception as error:  # noqa: BLE001 (Pillow's decoders raise many kinds)
        row["error"] = f"{type(error).__name__}: {error}"
    return row


def header_and_pixels(data: bytes) -> dict[str, Any]:
    """What a file's header says; raises what Pillow raises if the pixels do not decode."""
    with Image.open(io.BytesIO(data), formats=KNOWN_FORMATS) as image:
        found = {
            "format": format_name(image.format or "", data),
            "real_width": float(image.width),
            "real_height": float(image.height),
        }
        image.load()
        orientation = image.getexif().get(ORIENTATION, 1)
        image.convert("RGB")
    return found | {"orientation": float(orientation if orientation in range(1, 9) else 1)}


def format_name(name: str, data: bytes) -> str:
    """The format's name; PNG with 16 bits a channel (byte 24 of the header) is one of its own.

    MPO is what Pillow calls a JPEG with a second picture behind the first (phones make them).
    """
    if name == "PNG" and data[24] == 16:
        return "PNG with 16 bits"
    return "JPEG" if name == "MPO" else name
