"""Pictures of single images: the true boxes beside the predicted ones."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from components.evaluate.ranking import SCORE, Matched

FOUND, MISSED, CROWD = "#0072b2", "#9b1d9b", "#6b7280"
CORRECT, WRONG = "#00795a", "#d01c00"
"""Colours told apart with any colour vision (after Okabe and Ito), dark enough for white text."""

SIDE = 640
"""Longer side of each of a picture's two panels, in pixels."""

MARGIN = 10
CAPTION = 34
Font = ImageFont.ImageFont | ImageFont.FreeTypeFont
Box = tuple[np.ndarray, str, str]
"""A box (4,) in image pixels, its colour and its label."""


def draw_picture(photo: Image.Image, matched: Matched, classes: Sequence[str]) -> Image.Image:
    """The photo twice, with true and with predicted boxes, each under a caption with its key.

    A wide photo is stacked and a tall one put side by side, so that both are seen on a phone.
    """
    truth = draw_panel(photo, true_boxes(matched, classes), true_key(matched))
    predicted = draw_panel(photo, predicted_boxes(matched, classes), predicted_key(matched))
    width, height = truth.size
    if photo.width >= photo.height:
        picture = Image.new("RGB", (width, 2 * height + MARGIN), "white")
        picture.paste(predicted, (0, height + MARGIN))
    else:
        picture = Image.new("RGB", (2 * width + MARGIN, height), "white")
        picture.paste(predicted, (width + MARGIN, 0))
    picture.paste(truth, (0, 0))
    return picture


def true_boxes(matched: Matched, classes: Sequence[str]) -> list[Box]:
    """The image's true boxes, the missed ones last so that they lie on top."""
    image = matched.image
    colours = np.where(image.crowd, CROWD, np.where(matched.found, FOUND, MISSED))
    boxes = [
        (image.boxes[i], str(colours[i]), classes[image.labels[i] - 1])
        for i in range(len(image.boxes))
    ]
    return sorted(boxes, key=lambda box: box[1] == MISSED)


def predicted_boxes(matched: Matched, classes: Sequence[str]) -> list[Box]:
    """The predicted boxes with their scores, the best one last so that it lies on top."""
    return [
        (
            matched.boxes[i],
            CORRECT if matched.correct[i] else WRONG,
            f"{classes[matched.labels[i] - 1]}: {matched.scores[i]:.2f}",
        )
        for i in reversed(range(len(matched.boxes)))
    ]


def true_key(matched: Matched) -> list[tuple[str, str]]:
    """Caption of the true boxes: (text, colour) of each part."""
    found = matched.objects - matched.missed
    key = [
        ("True boxes:", "black"),
        (f"{found} found", FOUND),
        (f"{matched.missed} missed", MISSED),
    ]
    return [*key, ("crowd", CROWD)] if matched.image.crowd.any() else key


def predicted_key(matched: Matched) -> list[tuple[str, str]]:
    """Caption of the predicted boxes: (text, colour) of each part."""
    return [
        (f"Predicted, score {SCORE} or more:", "black"),
        (f"{matched.correct.sum()} correct", CORRECT),
        (f"{matched.wrong} wrong", WRONG),
    ]


def draw_panel(
    photo: Image.Image, boxes: Sequence[Box], key: Sequence[tuple[str, str]]
) -> Image.Image:
    """The photo scaled to `SIDE` with boxes on it, below a caption: an image of its own."""
    scale = SIDE / max(photo.size)
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    scaled = photo.resize(size, Image.Resampling.LANCZOS)
    pen, font = ImageDraw.Draw(scaled), label_font(15)
    for box, colour, _ in boxes:
        x1, y1, x2, y2 = (float(v) * scale for v in box)
        pen.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=colour, width=3)
    for box, colour, text in boxes:
        draw_label(pen, (float(box[0]) * scale, float(box[1]) * scale), text, colour, font)
    # Wide enough for the caption, however narrow the photo.
    panel = Image.new("RGB", (max(size[0], 460), size[1] + CAPTION), "white")
    draw_key(ImageDraw.Draw(panel), key)
    panel.paste(scaled, (0, CAPTION))
    return panel


def draw_label(
    pen: ImageDraw.ImageDraw, corner: tuple[float, float], text: str, colour: str, font: Font
) -> None:
    """White text on a coloured ground at a box's upper left corner, kept inside the image."""
    width, height = pen.textlength(text, font=font) + 6, 19
    x = min(max(0.0, corner[0]), max(0.0, pen.im.size[0] - width))
    y = max(0.0, corner[1] - height + 3)
    pen.rectangle((x, y, x + width, y + height), fill=colour)
    pen.text((x + 3, y + height / 2), text, fill="white", font=font, anchor="lm")


def draw_key(pen: ImageDraw.ImageDraw, key: Sequence[tuple[str, str]]) -> None:
    """A caption: each part after a swatch of its colour (black: without)."""
    x, middle, font = 2.0, CAPTION / 2, label_font(20)
    for text, colour in key:
        if colour != "black":
            pen.rectangle((x, middle - 7, x + 14, middle + 7), fill=colour)
            x += 20
        pen.text((x, middle), text, fill=colour, font=font, anchor="lm")
        x += pen.textlength(text, font=font) + 16


def label_font(size: int) -> Font:
    """Pillow's own font, so that the picture is the same wherever it is drawn."""
    return ImageFont.load_default(size)


def write_pictures(
    folder: Path, data: Path, ranked: dict[str, list[Matched]], classes: Sequence[str]
) -> dict[str, list[Path]]:
    """Write ``best_1.png``, ``best_2.png``, ... into a new folder; the paths by rank's name."""
    folder.mkdir()
    written: dict[str, list[Path]] = {}
    for rank, images in ranked.items():
        written[rank] = [folder / f"{rank}_{place + 1}.png" for place in range(len(images))]
        for path, matched in zip(written[rank], images, strict=True):
            with Image.open(data / matched.image.file) as photo:
                draw_picture(photo.convert("RGB"), matched, classes).save(path)
    return written
