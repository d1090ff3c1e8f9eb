"""All checks: what is expected of the tables of boxes, images, splits and classes."""

from typing import Any

from components.validate_data.decode import FORMATS
from components.validate_data.expectations import (
    Check,
    absent,
    between,
    equal,
    greater,
    one_of,
    present,
    unique,
)

OUTSIDE_TOLERANCE_PX = 0.5
"""A box that leaves its image by less is rounding (COCO has decimals); it is clipped instead."""
CROWDED = 500
"""From this many boxes on an image gets a warning: ground truth is padded to the fullest image."""
RARE = 10
"""A class with fewer boxes in train gets a warning."""
ELONGATED = 20
"""A picture whose long side is more times its short side gets a warning. Both are resized by one
factor, so that the short one is left a few dozen pixels, of which the convs make one or two."""


def box_checks(min_box_px: float) -> list[Check]:
    """The checks of the table of boxes."""
    swapped = "mend the box; width and height read as x2 and y2, or the reverse, look like this"

    def box(name: str, expectation: Any, remedy: str, *columns: str) -> Check:
        return Check(name, "boxes", "box", expectation, ("annotated", *columns), remedy)

    return [
        box(
            "each box belongs to a listed image",
            present("file"),
            "add the image to 'images', or remove the annotation",
        ),
        box("coordinates are finite numbers", one_of("finite", True), "mend or remove the box"),
        box("x2 > x1", greater("x2", "x1"), swapped),
        box("y2 > y1", greater("y2", "y1"), swapped),
        box(
            f"both sides are longer than {min_box_px:g} px",
            between("short_side", min_value=min_box_px, strict_min=True),
            "redraw or remove the box, or set min_box_px",
        ),
        box(
            "boxes lie inside their image",
            between("outside_px", max_value=OUTSIDE_TOLERANCE_PX),
            "mend the box (VOC counts pixels from 1; COCO's box is x, y, width, height)",
            *("outside_px", "picture"),
        ),
        box(
            "categories are known",
            present("name"),
            "add the category to 'categories' (VOC: fill <name>), or mend the annotation",
            "category",
        ),
        box("crowd (VOC: difficult) is 0 or 1", one_of("crowd", 0, 1), "write 0 or 1", "crowd"),
        Check(
            "box ids are unique",
            "boxes",
            "data",
            one_of("repeated", False),
            ("annotated",),
            "give each annotation of a file an id of its own",
        ),
    ]


def image_checks() -> list[Check]:
    """The checks of the table of images, each by itself."""

    def image(name: str, expectation: Any, remedy: str, *columns: str) -> Check:
        return Check(name, "images", "data", expectation, columns, remedy)

    return [
        image(
            "image ids are unique",
            unique("split", "image"),
            "give each image of a file an id of its own; list it once",
        ),
        image("files are listed once", unique("file"), "list each file once, in one split"),
        image(
            "files exist",
            one_of("exists", True),
            "put the file there, or take the image off the list",
        ),
        image(
            "images decode",
            absent("error"),
            "copy the file again from its source, or take the image off the list",
            "error",
        ),
        image(
            "formats can be read in training",
            one_of("format", *FORMATS),
            "save it as 8-bit PNG or as JPEG, a single frame",
            "format",
        ),
        image(
            "images are stored upright",
            one_of("orientation", 1),
            "its EXIF tag asks viewers to turn it, and nobody knows whether the boxes were drawn "
            "before or after that: save it upright without the tag and look at its boxes",
            "orientation",
        ),
        image(
            "annotated size is the picture's",
            equal("annotated_size", "picture"),
            "the boxes were drawn on another size: annotate this file, or put the original back",
            *("annotated_size", "picture"),
        ),
    ]


def collection_checks() -> list[Check]:
    """The checks of the table of images, each against the others."""
    return [
        Check(
            "no picture is in both splits",
            "images",
            "data",
            one_of("splits_with_it", 1),
            ("sha256",),
            "the test score would count pictures seen in training: remove it from one split",
        ),
        Check(
            "no picture is twice in a split",
            "images",
            "warning",
            one_of("copies", 1),
            ("sha256",),
            "remove the copies, if they are not meant",
        ),
        Check(
            f"at most {CROWDED} boxes an image",
            "images",
            "warning",
            between("boxes", max_value=CROWDED),
            ("boxes",),
            "ground truth is padded to the fullest image; cut such pictures if memory runs out",
        ),
    ]


def shape_checks() -> list[Check]:
    """The checks of what the resize rule does to the images."""
    return [
        Check(
            f"the long side is at most {ELONGATED} times the short one",
            "images",
            "warning",
            between("elongation", max_value=ELONGATED),
            ("picture",),
            "resized to the longest side, little is left of the other: cut it into tiles",
        )
    ]


def file_checks() -> list[Check]:
    """The checks of the table of picture files in the data folder."""
    return [
        Check(
            "picture files in the folder are listed",
            "files",
            "warning",
            one_of("listed", True),
            (),
            "no split lists them, so nothing reads them: add them to a split, or remove them",
        )
    ]


def split_checks() -> list[Check]:
    """The checks of the table of splits."""
    return [
        Check(
            "each split has boxes",
            "splits",
            "data",
            between("boxes", min_value=1),
            ("split", "images", "boxes"),
            "a split needs at least one image with an object; is it the right split?",
        )
    ]


def class_checks() -> list[Check]:
    """The checks of the table of classes."""
    columns = ("class", "train", "test")
    return [
        Check(
            "each test class is in train",
            "classes",
            "data",
            between("train", min_value=1),
            columns,
            "a class without training boxes is never found, and its AP of 0 pulls down the mean: "
            "divide the images anew, or remove the class",
        ),
        Check(
            "each train class is in test",
            "classes",
            "warning",
            between("test", min_value=1),
            columns,
            "it is trained, but no score can be given for it",
        ),
        Check(
            f"each class has at least {RARE} boxes in train",
            "classes",
            "warning",
            between("train", min_value=RARE),
            columns,
            "so few boxes hardly teach a class: draw more, or join it with another",
        ),
    ]
