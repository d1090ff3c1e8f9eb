"""Pictures of anchors: the grid, the labels, and one anchor with its ground truth."""

from collections.abc import Iterator

import torch
from PIL import Image
from torch import Tensor

from cli.explain.anchors import KINDS, AnchorExample, Anchors, Labels
from cli.explain.canvas import WIDE, Canvas, Frame, captioned, whole
from cli.explain.scene import Truth
from components.pages.chart import BLUE, GREEN, OLIVE, ORANGE, PURPLE
from models.boxes import box_area

SHOWN = {"positive": 4, "negative": 3, "ignored": 3, "crossing": 2}
"""Anchors of each kind that are drawn as boxes."""
COLOURS = {"positive": BLUE, "negative": ORANGE, "ignored": OLIVE, "crossing": PURPLE}
RATIO_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, OLIVE)
TRUTH = "#111111"
FAINT = 0.35
"""Opacity of the labels that most anchors have."""
CONTEXT = 0.35
"""Room around the boxes of one anchor, as a share of their extent."""
SIDE = 720
"""Longer side of the picture of one anchor, in pixels."""


def truth_name(truth: Truth) -> str:
    """What the boxes that teach are called in captions."""
    return "detection in place of ground truth" if truth.stands_in else "ground truth"


def draw_grid(photo: Image.Image, anchors: Anchors) -> Image.Image:
    """The grid of cells, and the anchors of the middle one, coloured by ratio."""
    canvas, stride = whole(photo, WIDE), anchors.stride
    for column in range(1, anchors.columns):
        canvas.line((column * stride, 0), (column * stride, photo.height), "#ffffff90", 1)
    for row in range(1, anchors.rows):
        canvas.line((0, row * stride), (photo.width, row * stride), "#ffffff90", 1)
    row, column = anchors.rows // 2, anchors.columns // 2
    canvas.fill((column * stride, row * stride, (column + 1) * stride, (row + 1) * stride), TRUTH)
    draw_cell(canvas, anchors, row, column)
    cells = (
        f"{anchors.rows} x {anchors.columns} cells of {stride} pixels, {anchors.each} anchors each"
    )
    ratios = [
        (f"ratio {ratio:g}", RATIO_COLOURS[n % len(RATIO_COLOURS)])
        for n, ratio in enumerate(anchors.parameters.ratios)
    ]
    return captioned(canvas.picture, [(cells, "black"), *ratios])


def draw_cell(canvas: Canvas, anchors: Anchors, row: int, column: int) -> None:
    """The anchors of a cell; those of the middle ratio are labelled with their sides."""
    scales, ratios = len(anchors.parameters.scales), len(anchors.parameters.ratios)
    boxes = anchors.of_cell(row, column).tolist()
    for n, box in enumerate(boxes):
        canvas.box(box, RATIO_COLOURS[n // scales % len(RATIO_COLOURS)])
    middle = ratios // 2
    for x1, y1, x2, y2 in boxes[middle * scales : (middle + 1) * scales]:
        colour = RATIO_COLOURS[middle % len(RATIO_COLOURS)]
        canvas.label((x1, y1, x2, y2), f"{x2 - x1:.0f} x {y2 - y1:.0f}", colour)


def draw_label_map(
    photo: Image.Image, anchors: Anchors, labels: Labels, truth: Truth
) -> Image.Image:
    """Every anchor's label: a square for each, a row for each ratio, within its cell."""
    canvas = whole(photo, WIDE)
    kinds = {kind: labels.of_kind(anchors, kind) for kind in KINDS}
    for kind, chosen in kinds.items():
        for n in chosen.nonzero().squeeze(1).tolist():
            opacity = FAINT if kind in ("negative", "crossing") else 1.0
            canvas.fill(label_square(anchors, n), COLOURS[kind], opacity)
    for box in truth.boxes[0, : truth.count].tolist():
        canvas.box(box, TRUTH, width=2)
    key = [(f"{int(chosen.sum())} {kind}", COLOURS[kind]) for kind, chosen in kinds.items()]
    return captioned(canvas.picture, [*key, (truth_name(truth), TRUTH)])


def label_square(anchors: Anchors, n: int) -> tuple[float, float, float, float]:
    """Where anchor ``n`` has its square: in its cell, ratios down and scales across."""
    cell, own = divmod(n, anchors.each)
    row, column = divmod(cell, anchors.columns)
    ratio, scale = divmod(own, len(anchors.parameters.scales))
    width = anchors.stride / len(anchors.parameters.scales)
    height = anchors.stride / len(anchors.parameters.ratios)
    x, y = column * anchors.stride + scale * width, row * anchors.stride + ratio * height
    return x, y, x + width, y + height


def draw_labelled(
    photo: Image.Image, anchors: Anchors, labels: Labels, truth: Truth
) -> Image.Image:
    """Some anchors of each kind as boxes, each with its best IoU, over the boxes that teach."""
    canvas = whole(photo, WIDE)
    for box in truth.boxes[0, : truth.count].tolist():
        canvas.box(box, TRUTH, width=2)
    chosen = [
        (anchors.boxes[n].tolist(), COLOURS[kind], f"IoU {labels.iou[n]:.2f}")
        for kind in reversed(KINDS)
        for n in shown(anchors, labels, truth, kind)
    ]
    for box, colour, _ in chosen:
        canvas.box(box, colour)
    for box, colour, text in chosen:
        canvas.label(box, text, colour)
    key = [(kind, COLOURS[kind]) for kind in KINDS]
    return captioned(canvas.picture, [*key, (truth_name(truth), TRUTH)])


def shown(anchors: Anchors, labels: Labels, truth: Truth, kind: str) -> Iterator[int]:
    """Anchors of a kind to draw: the best of each of the largest boxes, or evenly spread ones."""
    own = labels.of_kind(anchors, kind).nonzero().squeeze(1)
    if kind != "positive":
        touching = own[labels.iou[own] > 0]
        yield from spread(touching if len(touching) else own, SHOWN[kind]).tolist()
        return
    for box in box_area(truth.boxes[0]).argsort(descending=True)[: SHOWN[kind]]:
        of_box = own[labels.matches[own] == box]
        if len(of_box):
            yield int(of_box[labels.iou[of_box].argmax()])


def spread(values: Tensor, count: int) -> Tensor:
    """At most ``count`` of the values (N,), evenly spread, from the middle of each share."""
    count = min(count, len(values))
    places = (torch.arange(count) + 0.5) * len(values) / max(1, count)
    return values[places.long()]


def draw_example(photo: Image.Image, example: AnchorExample, truth: Truth) -> Image.Image:
    """One positive anchor, its ground truth, and where t moves it; the deltas in the caption."""
    boxes = torch.stack([example.anchor, example.truth, example.moved])
    canvas = Canvas(photo, frame_around(boxes, photo.width, photo.height))
    key = [(truth_name(truth), TRUTH), ("anchor", BLUE), ("anchor moved by t", ORANGE)]
    for box, (_, colour) in zip(boxes[[1, 0, 2]].tolist(), key, strict=True):
        canvas.box(box, colour)
        canvas.dot((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, colour)
    return captioned(
        canvas.picture,
        key,
        [(f"t* = {deltas(example.target)}  {truth_name(truth)}", "black")],
        [(f"t  = {deltas(example.predicted)}  predicted by the RPN", "black")],
    )


def deltas(values: Tensor) -> str:
    """Box deltas (4,) as tx ty tw th."""
    return "(" + ", ".join(f"{value:+.3f}" for value in values.tolist()) + ")"


def frame_around(boxes: Tensor, width: int, height: int) -> Frame:
    """A cut of an image of this size that shows boxes (N, 4) and some room around them."""
    low, high = boxes[:, :2].amin(dim=0), boxes[:, 2:].amax(dim=0)
    room = (high - low) * CONTEXT
    x1, y1 = (low - room).clamp(min=0).tolist()
    x2, y2 = torch.minimum(high + room, torch.tensor([width, height])).tolist()
    return Frame((x1, y1, x2, y2), SIDE)
