"""The figures of an explanation as plain numbers: for the page, and as JSON beside the pictures."""

from typing import Any

from torch import Tensor

from cli.explain.anchors import KINDS, AnchorExample, Anchors
from cli.explain.explanation import Explanation, Taught
from cli.explain.roi_pooling import PooledRoI
from cli.explain.scene import confident
from cli.explain.steps import Part

DECIMALS = 3
UNTAUGHT = {"boxes": None, "stand_ins": False, "labels": None, "example": None, "rois": None}
"""The figures of an image without boxes that teach."""


def figures(explanation: Explanation) -> dict[str, Any]:
    """What the page says in figures; what could not be computed is None."""
    anchors, taught = explanation.anchors, explanation.taught
    return {
        "image": explanation.scene.name,
        "input": {"height": explanation.height, "width": explanation.width},
        "cells": {"rows": anchors.rows, "columns": anchors.columns, "stride": anchors.stride},
        "anchors": {"each": anchors.each, "all": len(anchors.boxes)},
        **(taught_figures(anchors, taught) if taught else UNTAUGHT),
        "pooled": pooled_figures(explanation.pooled) if explanation.pooled else None,
        "steps": [part_figures(part) for part in explanation.steps],
        "detections": confident(explanation.detections),
    }


def taught_figures(anchors: Anchors, taught: Taught) -> dict[str, Any]:
    """How many boxes teach, what they are, and what they make of anchors and RoIs."""
    return {
        "boxes": taught.truth.count,
        "stand_ins": taught.truth.stands_in,
        "labels": {kind: int(taught.labels.of_kind(anchors, kind).sum()) for kind in KINDS},
        "example": example_figures(taught.example) if taught.example else None,
        "rois": {"sampled": len(taught.rois.boxes), "foreground": taught.rois.foreground},
    }


def example_figures(example: AnchorExample) -> dict[str, Any]:
    """One anchor, its ground truth, both sets of deltas; boxes as x1 y1 x2 y2 in input pixels."""
    boxes = {"anchor": example.anchor, "truth": example.truth, "moved": example.moved}
    deltas = {"target": example.target, "predicted": example.predicted}
    return {
        **{name: rounded(values, 1) for name, values in boxes.items()},
        **{name: rounded(values, DECIMALS) for name, values in deltas.items()},
        "iou": round(example.iou, DECIMALS),
        "score": round(example.score, DECIMALS),
    }


def pooled_figures(pooled: PooledRoI) -> dict[str, Any]:
    """What is pooled of which RoI: cells read, sub-windows a side, cells that get a gradient."""
    read = pooled.windows.flatten(0, 1).any(dim=0)
    rows, columns = (int(read.any(dim=d).sum()) for d in (1, 0))
    return {
        "roi": rounded(pooled.roi, 1),
        "size": len(pooled.pooled),
        "channel": pooled.channel,
        "rows": rows,
        "columns": columns,
        "cells_with_gradient": int((pooled.gradient > 0).sum()),
        "gradients": int(pooled.gradient.sum()),
    }


def part_figures(part: Part) -> dict[str, Any]:
    """A part of the network through the steps of its schedule."""
    steps = {f"step{step}": state for step, state in part.states.items()}
    return {"part": part.name, "parameters": part.parameters, **steps}


def rounded(values: Tensor, decimals: int) -> list[float]:
    """Values (N,) with a few decimals."""
    return [round(value, decimals) for value in values.tolist()]
