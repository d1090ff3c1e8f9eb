"""The pictures of an explanation, by name."""

from collections.abc import Sequence

from PIL import Image

from cli.explain.anchor_pictures import (
    TRUTH,
    draw_example,
    draw_grid,
    draw_label_map,
    draw_labelled,
    truth_name,
)
from cli.explain.canvas import HALF, WIDE, beside, captioned, photo_of, whole
from cli.explain.explanation import BEST, Explanation, Taught
from cli.explain.pooling_pictures import draw_align, draw_pooling
from cli.explain.scene import CONFIDENT, confident
from components.draw import class_colour
from components.pages.chart import BLUE, ORANGE
from models.fast_rcnn import Detections
from models.proposals import Proposals


def draw_pictures(explanation: Explanation) -> dict[str, Image.Image]:
    """Every picture that the explanation has something for, in the page's order."""
    photo = photo_of(explanation.scene.pixels[0].numpy())
    classes = explanation.architecture.classes
    drawn: dict[str, Image.Image | None] = {"anchors": draw_grid(photo, explanation.anchors)}
    if taught := explanation.taught:
        labelled = explanation.anchors, taught.labels, taught.truth
        drawn["anchor_labels"] = draw_label_map(photo, *labelled)
        drawn["labelled_anchors"] = draw_labelled(photo, *labelled)
        if taught.example:
            drawn["anchor_target"] = draw_example(photo, taught.example, taught.truth)
    drawn["proposals"] = draw_proposals(photo, explanation)
    if taught:
        drawn["rois"] = draw_rois(photo, taught, classes)
    if explanation.pooled:
        drawn["roi_pooling"] = draw_pooling(photo, explanation.pooled)
        drawn["roi_align"] = draw_align(explanation.pooled)
    drawn["detections"] = draw_detections(photo, explanation.detections, classes)
    return {name: picture for name, picture in drawn.items() if picture}


def draw_proposals(photo: Image.Image, explanation: Explanation) -> Image.Image:
    """The network's best proposals, beside those after step 1 if its checkpoint is there."""
    name = "step 3" if explanation.four_step else "joint training"
    own = draw_best(photo, explanation.own, name)
    if explanation.first is None:
        return own
    return beside(draw_best(photo, explanation.first, "step 1"), own)


def draw_best(photo: Image.Image, proposals: Proposals, name: str) -> Image.Image:
    """The first `BEST` proposals with their scores, the best one on top."""
    canvas = whole(photo, HALF)
    count = min(BEST, int(proposals.valid[0].sum()))
    best = [(proposals.boxes[0, n].tolist(), proposals.scores[0, n]) for n in range(count)]
    for box, _ in reversed(best):
        canvas.box(box, BLUE, width=2)
    for box, score in reversed(best):
        canvas.label(box, f"{score:.2f}", BLUE)
    return captioned(canvas.picture, [(f"Best {count} proposals after {name}", "black")])


def draw_rois(photo: Image.Image, taught: Taught, classes: Sequence[str]) -> Image.Image:
    """The sampled foreground RoIs with class and IoU, beside the background."""
    rois, own = taught.rois, taught.rois.foreground
    foreground, background = whole(photo, HALF), whole(photo, HALF)
    for canvas in (foreground, background):
        for box in taught.truth.boxes[0, : taught.truth.count].tolist():
            canvas.box(box, TRUTH, width=2)
    taken = (values[:own].tolist() for values in (rois.boxes, rois.labels, rois.iou))
    shown = list(zip(*taken, strict=True))
    for box, label, _ in shown:
        foreground.box(box, class_colour(label), width=2)
    for box, label, iou in shown:
        foreground.label(box, f"{classes[label - 1]} {iou:.2f}", class_colour(label))
    for box in rois.boxes[own:].tolist():
        background.box(box, ORANGE, width=2, halo=False)
    key = [(f"{own} foreground: class, IoU", "black"), (truth_name(taught.truth), TRUTH)]
    other = [(f"{len(rois.boxes) - own} background", ORANGE)]
    return beside(captioned(foreground.picture, key), captioned(background.picture, other))


def draw_detections(photo: Image.Image, found: Detections, classes: Sequence[str]) -> Image.Image:
    """The confident detections with class and score, the best one on top."""
    canvas = whole(photo, WIDE)
    count = confident(found)
    shown = [
        (found.boxes[0, n].tolist(), int(found.labels[0, n]), float(found.scores[0, n]))
        for n in reversed(range(count))
    ]
    for box, label, _ in shown:
        canvas.box(box, class_colour(label))
    for box, label, score in shown:
        canvas.label(box, f"{classes[label - 1]} {score:.2f}", class_colour(label))
    text = f"{count} detections with a score of {CONFIDENT:g} or more"
    return captioned(canvas.picture, [(text, "black")])
