"""An enlarged image to draw on, and panels with captions; Pillow only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from components.evaluate.pictures import label_font

WIDE, HALF = 960, 640
"""Longer side of a picture's only panel, and of each of two, in pixels."""
GAP = 10
LABEL, CAPTION = 17, 21
"""Sizes of letters, in pixels."""
Key = Sequence[tuple[str, str]]
"""A caption: each part's text and the colour of the swatch before it (black: no swatch)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A cut x1 y1 x2 y2 out of an image, in input pixels, and how long its longer side is drawn."""

    box: tuple[float, float, float, float]
    side: int

    @property
    def scale(self) -> float:
        """Drawn pixels an input pixel."""
        x1, y1, x2, y2 = self.box
        return self.side / max(x2 - x1, y2 - y1)


class Canvas:
    """A cut of an image, enlarged, on which boxes are drawn in input pixels."""

    def __init__(self, photo: Image.Image, frame: Frame, smooth: bool = True) -> None:
        self.frame = frame
        x1, y1, x2, y2 = frame.box
        size = (round((x2 - x1) * frame.scale), round((y2 - y1) * frame.scale))
        sampling = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
        self.picture = photo.resize(size, sampling, box=frame.box)
        self.pen = ImageDraw.Draw(self.picture, "RGBA")

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the image lies on the canvas."""
        left, top = self.frame.box[:2]
        return (x - left) * self.frame.scale, (y - top) * self.frame.scale

    def corners(self, box: Sequence[float]) -> tuple[int, int, int, int]:
        """Where a box (4,) lies on the canvas: its first and its last pixels."""
        (x1, y1), (x2, y2) = self.at(box[0], box[1]), self.at(box[2], box[3])
        left, top = round(x1), round(y1)
        return left, top, max(left, round(x2) - 1), max(top, round(y2) - 1)

    def box(self, box: Sequence[float], colour: str, width: int = 3, halo: bool = True) -> None:
        """Outline a box; a thin white line around it is seen on any ground."""
        x1, y1, x2, y2 = self.corners(box)
        if halo:
            self.pen.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline="white", width=width + 2)
        self.pen.rectangle((x1, y1, x2, y2), outline=colour, width=width)

    def fill(self, box: Sequence[float], colour: str, opacity: float = 1.0) -> None:
        """Colour a box's inside."""
        self.pen.rectangle(self.corners(box), fill=colour + f"{round(255 * opacity):02x}")

    def line(self, start: Sequence[float], end: Sequence[float], colour: str, width: int) -> None:
        """Draw a line between two points."""
        self.pen.line((*self.at(*start), *self.at(*end)), fill=colour, width=width)

    def dot(self, x: float, y: float, colour: str, radius: int = 5) -> None:
        """Draw a dot with a white rim."""
        cx, cy = self.at(x, y)
        place = (cx - radius, cy - radius, cx + radius, cy + radius)
        self.pen.ellipse(place, fill=colour, outline="white", width=2)

    def label(self, box: Sequence[float], text: str, colour: str) -> None:
        """White text on a coloured ground at a box's upper left corner, kept on the canvas."""
        font = label_font(LABEL)
        left, top, _, _ = self.corners(box)
        width, height = self.pen.textlength(text, font=font) + 8, LABEL + 5
        x = min(max(0.0, left), max(0.0, self.picture.width - width))
        y = min(max(0.0, top - height), self.picture.height - height)
        self.pen.rectangle((x, y, x + width, y + height), fill=colour)
        self.pen.text((x + 4, y + height / 2), text, fill="white", font=font, anchor="lm")

    def middle(self, box: Sequence[float], text: str, colour: str) -> None:
        """Text in the middle of a box."""
        x1, y1, x2, y2 = self.corners(box)
        place = ((x1 + x2) / 2, (y1 + y2) / 2)
        self.pen.text(place, text, fill=colour, font=label_font(CAPTION), anchor="mm")


def whole(photo: Image.Image, side: int) -> Canvas:
    """A canvas of a whole photo, whose longer side is drawn with ``side`` pixels."""
    return Canvas(photo, Frame((0, 0, photo.width, photo.height), side))


def photo_of(pixels: np.ndarray) -> Image.Image:
    """An image (3, H, W) uint8 to draw on."""
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def captioned(picture: Image.Image, *lines: Key) -> Image.Image:
    """The picture under lines of caption, made as wide as these are."""
    height = CAPTION + 12
    key_widths = [sum(part_width(*part) for part in line) for line in lines]
    width = max(picture.width, *(round(w) + 4 for w in key_widths))
    panel = Image.new("RGB", (width, picture.height + height * len(lines)), "white")
    pen = ImageDraw.Draw(panel)
    for n, line in enumerate(lines):
        write_line(pen, height * n + height / 2, line)
    panel.paste(picture, (0, height * len(lines)))
    return panel


def part_width(text: str, colour: str) -> float:
    """How wide a part of a caption is, with its swatch and the space after it."""
    swatch = 0 if colour == "black" else 22
    return label_font(CAPTION).getlength(text) + swatch + 18


def write_line(pen: ImageDraw.ImageDraw, middle: float, key: Key) -> None:
    """Write a line of caption."""
    x, font = 2.0, label_font(CAPTION)
    for text, colour in key:
        start = x
        if colour != "black":
            pen.rectangle((x, middle - 8, x + 16, middle + 8), fill=colour)
            start += 22
        pen.text((start, middle), text, fill="#1b1f24", font=font, anchor="lm")
        x += part_width(text, colour)


def beside(*panels: Image.Image) -> Image.Image:
    """Panels side by side, with their tops in a line."""
    width = sum(panel.width for panel in panels) + GAP * (len(panels) - 1)
    picture = Image.new("RGB", (width, max(panel.height for panel in panels)), "white")
    x = 0
    for panel in panels:
        picture.paste(panel, (x, 0))
        x += panel.width + GAP
    return picture


def below(*panels: Image.Image) -> Image.Image:
    """Panels one below the other."""
    height = sum(panel.height for panel in panels) + GAP * (len(panels) - 1)
    picture = Image.new("RGB", (max(panel.width for panel in panels), height), "white")
    y = 0
    for panel in panels:
        picture.paste(panel, (0, y))
        y += panel.height + GAP
    return picture
