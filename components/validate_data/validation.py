"""From the plain tables to a verdict: what offends, what is dropped, what is kept."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from components.dataset.index import SPLITS
from components.validate_data.checks import (
    box_checks,
    class_checks,
    collection_checks,
    file_checks,
    image_checks,
    shape_checks,
    split_checks,
)
from components.validate_data.expectations import Outcome, Validator
from components.validate_data.tables import CORNERS, Tables

ROWS = 100_000
"""Boxes that are checked at a time."""
OF_IMAGE = ["file", "picture_width", "picture_height", "picture"]
"""What the checks of boxes need to know of the image."""


@dataclass(frozen=True)
class Validation:
    """All outcomes, and the data that remains: images, good boxes.

    Boxes have `image_row`, the row of their image; -1 if it is not listed. `bad` are the boxes
    that fail a check of level `box`.
    """

    layout: str
    on_bad_box: str
    outcomes: list[Outcome]
    images: pd.DataFrame
    kept: pd.DataFrame
    bad: pd.DataFrame
    classes: list[str]
    unused: list[str]

    @property
    def failures(self) -> list[Outcome]:
        """The outcomes that stop the pipeline."""
        return [o for o in self.outcomes if not o.success and self.stops(o)]

    @property
    def warnings(self) -> list[Outcome]:
        """The outcomes that are only told."""
        return [o for o in self.outcomes if not o.success and o.check.level == "warning"]

    @property
    def dropped(self) -> pd.DataFrame:
        """The boxes that were left out."""
        return self.bad if self.on_bad_box == "drop" else self.bad.iloc[:0]

    def stops(self, outcome: Outcome) -> bool:
        """Whether a failure of this check stops the pipeline."""
        return outcome.check.level == "data" or (
            outcome.check.level == "box" and self.on_bad_box == "fail"
        )


def validate(
    tables: Tables,
    pictures: pd.DataFrame,
    files: pd.DataFrame,
    *,
    layout: str,
    on_bad_box: str,
    min_box_px: float,
) -> Validation:
    """Run all checks.

    `pictures` has the rows of `decode_all`, in the order of `tables.images`; `files` is the table
    of `picture_files`.
    """
    validator = Validator()
    images = with_pictures(tables.images, pictures)
    boxes = tables.boxes.assign(image_row=image_rows(tables.boxes, images))
    outcomes = validator.run("boxes", box_parts(boxes, images), box_checks(min_box_px))
    bad = bad_boxes(outcomes)
    kept = boxes.drop(index=bad["row"].tolist()) if len(bad) else boxes
    images["boxes"] = np.bincount(kept["image_row"], minlength=len(images))
    outcomes += validator.run(
        "images", [images], image_checks() + collection_checks() + shape_checks()
    )
    outcomes += validator.run("files", [numbered(files)], file_checks())
    counts = class_counts(kept, tables.classes)
    used = counts[(counts["train"] + counts["test"]) > 0].reset_index(drop=True)
    outcomes += validator.run("splits", [numbered(split_counts(images))], split_checks())
    outcomes += validator.run("classes", [numbered(used)], class_checks())
    classes = used["class"].tolist()
    unused = [name for name in tables.classes if name not in set(classes)]
    return Validation(layout, on_bad_box, outcomes, images, kept, bad, classes, unused)


def with_pictures(images: pd.DataFrame, pictures: pd.DataFrame) -> pd.DataFrame:
    """The images with what their files say, and how often each content occurs.

    The picture's own size counts; the annotated one where the picture cannot be read.
    """
    table = numbered(pd.concat([images, pictures], axis=1))
    table["annotated_size"] = size_text(table["width"], table["height"])
    table["picture"] = size_text(table["real_width"], table["real_height"])
    table["picture_width"] = table["real_width"].fillna(table["width"])
    table["picture_height"] = table["real_height"].fillna(table["height"])
    sides = table[["picture_width", "picture_height"]]
    table["elongation"] = sides.max(axis=1) / sides.min(axis=1)
    content = table["sha256"].fillna(table["file"])
    table["splits_with_it"] = table.groupby(content)["split"].transform("nunique")
    table["copies"] = table.groupby([content, table["split"]])["file"].transform("nunique")
    return table


def numbered(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its row numbers as the column `row`, by which checks name rows."""
    return table.assign(row=np.arange(len(table)))


def size_text(width: pd.Series, height: pd.Series) -> pd.Series:
    """Sizes as ``640 x 480``, None where a number is missing."""
    pairs = zip(width, height, strict=True)
    texts = [f"{w:g} x {h:g}" if not (np.isnan(w) or np.isnan(h)) else None for w, h in pairs]
    return pd.Series(texts, dtype="str", index=width.index)


def image_rows(boxes: pd.DataFrame, images: pd.DataFrame) -> np.ndarray:
    """The row of each box's image (N,) int32, the first of an id; -1 if none is listed."""
    column = boxes["image"].cat
    found = np.full(len(boxes), -1, dtype=np.int32)
    for split in SPLITS:
        own = images[images["split"] == split].drop_duplicates("image").set_index("image")["row"]
        rows = own.reindex(column.categories, fill_value=-1).to_numpy(np.int32)
        mine = np.flatnonzero(boxes["split"] == split)
        found[mine] = rows[column.codes.to_numpy()[mine]]
    return found


def box_parts(boxes: pd.DataFrame, images: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The boxes as the checks see them, some at a time; one empty table if there are none."""
    repeated = boxes.duplicated(["split", "box"], keep=False).to_numpy()
    for start in range(0, max(len(boxes), 1), ROWS):
        part = slice(start, start + ROWS)
        yield with_images(boxes.iloc[part].assign(repeated=repeated[part]), images)


def with_images(boxes: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """The boxes with their image's file and size, and what the checks need to know."""
    found = images[OF_IMAGE].reindex(boxes["image_row"]).set_axis(boxes.index)
    table = pd.concat([boxes, found], axis=1).assign(row=boxes.index)
    corners = table[CORNERS].to_numpy()
    finite = np.isfinite(corners).all(axis=1)
    x1, y1, x2, y2 = np.where(finite[:, None], corners, np.nan).T
    side = np.minimum(x2 - x1, y2 - y1)
    right, bottom = x2 - table["picture_width"].to_numpy(), y2 - table["picture_height"].to_numpy()
    outside = np.maximum.reduce([-x1, -y1, right, bottom, np.zeros(len(table))])
    table["finite"] = finite
    table["short_side"] = np.where(finite & (side > 0), side, np.nan)
    table["outside_px"] = np.where(finite, outside, np.nan)
    table["crowd"] = table["crowd"].fillna(-1.0)
    return table


def bad_boxes(outcomes: list[Outcome]) -> pd.DataFrame:
    """All boxes that fail a check of level `box`, each once, with the names of these checks."""
    failed = [o for o in outcomes if o.check.level == "box" and not o.success]
    if not failed:
        return outcomes[0].offending.iloc[:0].assign(failed="")
    table = pd.concat([o.offending.assign(failed=o.check.name) for o in failed])
    names = table.groupby("row")["failed"].agg("; ".join)
    table = table.drop_duplicates("row").sort_values("row")
    return table.assign(failed=names.loc[table["row"]].to_numpy())


def class_counts(boxes: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """The number of boxes of each class in each split: columns class, train, test."""
    counts = boxes.groupby(["name", "split"], observed=True).size().unstack(fill_value=0)
    counts = counts.reindex(index=classes, columns=list(SPLITS), fill_value=0)
    return counts.rename_axis(index="class", columns=None).reset_index()


def split_counts(images: pd.DataFrame) -> pd.DataFrame:
    """The numbers of each split: columns split, images, boxes, empty."""
    groups = {split: images[images["split"] == split] for split in SPLITS}
    return pd.DataFrame(
        {
            "split": list(SPLITS),
            "images": [len(group) for group in groups.values()],
            "boxes": [int(group["boxes"].sum()) for group in groups.values()],
            "empty": [int((group["boxes"] == 0).sum()) for group in groups.values()],
        }
    )


def shown_value(row: Mapping[str, object], columns: tuple[str, ...], layout: str) -> str:
    """The values that offend, as the source writes them."""
    parts = []
    for name in columns:
        if name == "annotated":
            parts.append(annotated(row, layout))
        elif isinstance(value := row[name], float):
            parts.append(f"{name} {value:g}")
        else:
            parts.append(f"{name} {value}")
    return ", ".join(parts)


def annotated(row: Mapping[str, object], layout: str) -> str:
    """A box in the numbers of its source: VOC's inclusive corners, COCO's x, y, w, h."""
    x1, y1, x2, y2 = (float(str(row[name])) for name in CORNERS)
    if layout == "voc":
        return f"xmin {x1 + 1:g} ymin {y1 + 1:g} xmax {x2:g} ymax {y2:g}"
    return f"bbox [{x1:g}, {y1:g}, {x2 - x1:g}, {y2 - y1:g}]"
