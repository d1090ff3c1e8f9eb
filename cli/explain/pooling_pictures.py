"""Pictures of RoI pooling: the sub-windows, their maxima, and where the gradient goes."""

from collections.abc import Iterator

import numpy as np
from PIL import Image
from torch import Tensor

from cli.explain.canvas import Canvas, Frame, below, beside, captioned
from cli.explain.roi_pooling import PooledRoI
from components.pages.chart import BLUE, ORANGE

LOW, HIGH = (255, 250, 235), (13, 42, 92)
"""Colours of the lowest and the highest value of a heat map."""
SIDE = 480
"""Longer side of each panel, in pixels."""
AROUND = 2
"""Cells that are shown around a RoI."""
Box = tuple[float, float, float, float]


def draw_pooling(photo: Image.Image, pooled: PooledRoI) -> Image.Image:
    """Four panels: the RoI on the image, on the map, its maxima, and its gradient."""
    cut = cells_cut(pooled)
    size = len(pooled.pooled)
    x1, y1, x2, y2 = scaled(cut, pooled.stride)  # the last cells may reach over the image's border
    inside = (x1, y1, min(x2, photo.width), min(y2, photo.height))
    seen = Canvas(photo, Frame(inside, SIDE))
    draw_windows(seen, pooled, pooled.stride)
    seen.box(pooled.roi.tolist(), ORANGE)
    read = heat_canvas(pooled.cells, cut)
    draw_windows(read, pooled, 1)
    routed = heat_canvas(pooled.cells, cut)
    draw_gradient(routed, pooled.gradient, cut)
    windows = f"RoI, its {size} x {size} sub-windows"
    values = f"Channel {pooled.channel} of the feature map, dark is high"
    return below(
        beside(
            captioned(seen.picture, [(windows, ORANGE), ("one of them", BLUE)]),
            captioned(read.picture, [(values, "black")]),
        ),
        beside(
            captioned(numbers(pooled.pooled), [("Maximum of each sub-window", "black")]),
            captioned(routed.picture, [("Cells that get a gradient, how often", "black")]),
        ),
    )


def draw_align(pooled: PooledRoI) -> Image.Image | None:
    """RoI max pooling beside RoIAlign, if the network reads RoIs by the latter."""
    if pooled.aligned is None:
        return None
    return beside(
        captioned(numbers(pooled.pooled), [("RoI max pooling", "black")]),
        captioned(numbers(pooled.aligned), [("RoIAlign, which this network uses", "black")]),
    )


def cells_cut(pooled: PooledRoI) -> Box:
    """The cells that the sub-windows read, and some around them: x1 y1 x2 y2 in cells."""
    read = pooled.windows.flatten(0, 1).any(dim=0)
    rows, columns = (read.any(dim=d).nonzero().squeeze(1) for d in (1, 0))
    height, width = read.shape
    return (
        max(0, int(columns[0]) - AROUND),
        max(0, int(rows[0]) - AROUND),
        min(width, int(columns[-1]) + 1 + AROUND),
        min(height, int(rows[-1]) + 1 + AROUND),
    )


def scaled(box: Box, factor: float) -> Box:
    """A box with its sides multiplied."""
    x1, y1, x2, y2 = (side * factor for side in box)
    return x1, y1, x2, y2


def window_boxes(pooled: PooledRoI) -> Iterator[Box]:
    """The sub-windows in cells, row by row; one that lies off the map is left out."""
    for window in pooled.windows.flatten(0, 1):
        rows, columns = (window.any(dim=d).nonzero().squeeze(1) for d in (1, 0))
        if len(rows):
            yield float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def draw_windows(canvas: Canvas, pooled: PooledRoI, factor: float) -> None:
    """Outline the sub-windows, which share cells where the RoI's sides are not their multiples."""
    found = list(window_boxes(pooled))
    for window in found:
        canvas.box(scaled(window, factor), ORANGE, width=1, halo=False)
    canvas.box(scaled(found[len(found) // 2], factor), BLUE)


def draw_gradient(canvas: Canvas, gradient: Tensor, cut: Box) -> None:
    """A number on each cell within the cut that is a sub-window's maximum: how many's."""
    for row in range(int(cut[1]), int(cut[3])):
        for column in range(int(cut[0]), int(cut[2])):
            if times := int(gradient[row, column]):
                cell = (column, row, column + 1, row + 1)
                canvas.fill(cell, ORANGE)
                canvas.middle(cell, str(times), "white")


def heat_canvas(cells: Tensor, cut: Box) -> Canvas:
    """Values (H, W) as colours of the cut's range, cut out; the canvas counts in cells."""
    x1, y1, x2, y2 = (int(side) for side in cut)
    seen = cells[y1:y2, x1:x2]
    coloured = heat(cells.clamp(float(seen.min()), float(seen.max())))
    return Canvas(coloured, Frame(cut, SIDE), smooth=False)


def heat(values: Tensor) -> Image.Image:
    """Values (H, W) as colours from the lowest to the highest, a pixel each."""
    span = (values.max() - values.min()).clamp(min=1e-12)
    share = ((values - values.min()) / span).numpy()[..., None]
    colours = np.array(LOW) + share * (np.array(HIGH) - np.array(LOW))
    return Image.fromarray(colours.round().astype(np.uint8))


def numbers(values: Tensor) -> Image.Image:
    """Values (s, s) as colours with the numbers on them."""
    size = len(values)
    canvas = Canvas(heat(values), Frame((0, 0, size, size), SIDE), smooth=False)
    middle = (values.max() + values.min()) / 2
    for row in range(size):
        for column in range(size):
            value = values[row, column]
            ink = "white" if value > middle else "black"
            canvas.middle((column, row, column + 1, row + 1), f"{value:.1f}", ink)
    return canvas.picture
