"""The page for people: verdict, checks, counts, box sizes, dropped boxes, a few pictures."""

import base64
import io
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from components.pages.page import write_page
from components.validate_data.summary import bad_rows, offending_rows
from components.validate_data.tables import CORNERS, records
from components.validate_data.validation import Validation, class_counts, split_counts

ROWS = 200
"""Rows a table lists at most; result.json lists all."""
CLASSES = 100
"""Classes the table lists at most, the most frequent first."""
PICTURES = 6
"""Sample pictures: first those with bad boxes (up to half), then others from both splits."""
THUMBNAIL_PX = 320
BIN_EDGES = (0, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Edges of the histogram of box sizes (square root of the area), pixels; the last bin is open."""


@dataclass(frozen=True)
class Picture:
    """A thumbnail as a data URI, and its boxes as (x, y, width, height, name, is bad)."""

    file: str
    split: str
    uri: str
    width: int
    height: int
    boxes: list[tuple[float, float, float, float, str, bool]]


def write_report(path: Path, validation: Validation, data: Path) -> None:
    """Write the page as one self-contained file; every text from the data set is escaped."""
    counts = class_counts(validation.kept, validation.classes)
    counts["total"] = counts["train"] + counts["test"]
    counts = counts.sort_values("total", ascending=False, kind="stable")
    checks = [
        {"outcome": o, "rows": offending_rows(o, validation.layout)} for o in validation.outcomes
    ]
    content = {
        "validation": validation,
        "checks": checks,
        "splits": records(split_counts(validation.images)),
        "classes": records(counts),
        "bins": histogram(validation.kept),
        "bad": bad_rows(validation),
        "pictures": sample_pictures(validation, data),
        "max_rows": ROWS,
        "max_classes": CLASSES,
    }
    write_page(path, Path(__file__).with_name("report.html.jinja"), content)


def histogram(boxes: pd.DataFrame) -> list[dict[str, Any]]:
    """Box sizes in powers of two: label, count and share of the fullest bin, for each bin."""
    x1, y1, x2, y2 = (boxes[name].to_numpy() for name in CORNERS)
    sizes = np.sqrt((x2 - x1) * (y2 - y1))
    counts = np.histogram(sizes, bins=[*BIN_EDGES, np.inf])[0]
    labels = [f"{a}-{b}" for a, b in pairwise(BIN_EDGES)]
    fullest = max(int(counts.max()), 1)
    return [
        {"label": label, "count": int(count), "share": int(count) / fullest}
        for label, count in zip([*labels, f"{BIN_EDGES[-1]}+"], counts, strict=True)
    ]


def sample_pictures(validation: Validation, data: Path) -> list[Picture]:
    """A few pictures with their boxes, always the same ones for the same data."""
    readable = validation.images[validation.images["error"].isna() & validation.images["exists"]]
    with_bad = set(validation.bad["image_row"])
    bad = readable[readable["row"].isin(with_bad)].head(PICTURES // 2)
    rest = readable.drop(index=bad.index).sort_values("boxes", ascending=False, kind="stable")
    rest = rest[rest["boxes"] > 0].sort_values("row")
    number = min(PICTURES - len(bad), len(rest))
    rest = rest.iloc[np.linspace(0, len(rest) - 1, number).round().astype(int)]
    chosen = records(pd.concat([bad, rest]))
    return [picture(image, validation, data) for image in chosen]


def picture(image: dict[str, Any], validation: Validation, data: Path) -> Picture:
    """The thumbnail of one image, with its good and bad boxes."""
    with Image.open(data / image["file"]) as opened:
        scale = THUMBNAIL_PX / max(opened.size)
        width, height = (max(1, round(side * scale)) for side in opened.size)
        small = opened.convert("RGB").resize((width, height))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    boxes = []
    for table, is_bad in ((validation.kept, False), (validation.bad, True)):
        mine = table[table["image_row"] == image["row"]]
        mine = mine[np.isfinite(mine[CORNERS]).all(axis=1)]
        for x1, y1, x2, y2, name in mine[[*CORNERS, "name"]].itertuples(index=False):
            corner, extent = (min(x1, x2), min(y1, y2)), (abs(x2 - x1), abs(y2 - y1))
            boxes.append(
                (*corner, *extent, name if isinstance(name, str) else "unknown category", is_bad)
            )
    uri = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    width, height = int(image["real_width"]), int(image["real_height"])
    return Picture(image["file"], image["split"], uri, width, height, boxes)
