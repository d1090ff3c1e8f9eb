"""Boxes with captions on an image: Pillow only."""

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

PALETTE = (
    "#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#e8710a",
    "#17becf", "#e377c2", "#8c564b", "#bcbd22", "#3f51b5",
)  # fmt: skip
"""Colours of the first ten classes, far from each other; more are made by the golden angle."""
GOLDEN_ANGLE = 0.618034
MINIMUM_SIDE = 640
"""Smaller images are enlarged by a whole factor, so that captions can be read, pixels."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A box x1 y1 x2 y2 in image pixels, its caption and its colour."""

    box: tuple[float, float, float, float]
    caption: str
    colour: str


def class_colour(label: int) -> str:
    """The colour of a class, the same in every picture; labels count from 1."""
    if label <= len(PALETTE):
        return PALETTE[label - 1]
    red, green, blue = colorsys.hls_to_rgb(label * GOLDEN_ANGLE % 1, 0.45, 0.75)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def draw_marks(image: Image.Image, marks: Sequence[Mark]) -> Image.Image:
    """A copy of an RGB image with the marks on it, the first one on top.

    Lines and letters grow with the image. A picture whose longer side is below `MINIMUM_SIDE`
    comes out enlarged.
    """
    factor = max(1, math.ceil(MINIMUM_SIDE / max(image.size)))
    size = (image.width * factor, image.height * factor)
    picture = image.resize(size, Image.Resampling.BICUBIC) if factor > 1 else image.copy()
    pen = ImageDraw.Draw(picture)
    line = max(2, round(max(size) / 240))
    font = ImageFont.load_default(max(14, round(max(size) / 48)))
    scaled = [[side * factor for side in mark.box] for mark in marks]
    for mark, (x1, y1, x2, y2) in reversed(list(zip(marks, scaled, strict=True))):
        corners = (x1, y1, max(x1, x2 - 1), max(y1, y2 - 1))
        pen.rectangle(corners, outline=mark.colour, width=line)
    # Captions after all boxes, so that no line runs through a word.
    for mark, (x1, y1, _, _) in reversed(list(zip(marks, scaled, strict=True))):
        _draw_caption(pen, size, (x1, y1), mark, font)
    return picture


def _draw_caption(
    pen: ImageDraw.ImageDraw,
    size: tuple[int, int],
    corner: tuple[float, float],
    mark: Mark,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """The caption above its box, or at the image's border where there is no room."""
    left, top, right, bottom = pen.textbbox((0, 0), mark.caption, font=font, anchor="lt")
    padding = max(2, round((bottom - top) / 4))
    width, height = right - left + 2 * padding, bottom - top + 2 * padding
    x = min(max(0, corner[0]), max(0, size[0] - width))
    y = max(0, corner[1] - height)
    pen.rectangle((x, y, x + width, y + height), fill=mark.colour)
    ink = _ink(mark.colour)
    pen.text((x + padding, y + padding), mark.caption, fill=ink, font=font, anchor="lt")


def _ink(ground: str) -> str:
    """Black or white, whichever can be read on a colour (relative luminance, WCAG 2)."""
    channels = [int(ground[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "black" if luminance > 0.3 else "white"
