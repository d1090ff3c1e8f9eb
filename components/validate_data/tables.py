"""The two plain tables that both readers produce and that all checks read.

images: ``split``, ``image`` (the source's id, text), ``file`` (below the data folder),
``width``, ``height`` (as annotated, NaN where not).

boxes: ``split``, ``image``, ``box`` (the source's id, text), ``x1 y1 x2 y2`` (pixels, 0-based,
exclusive end; NaN where it is no number), ``category`` (as annotated), ``name`` (the class,
missing if unknown), ``crowd`` (NaN where it is no number).
"""

from dataclasses import dataclass
from typing import Any, cast

import pandas as pd

CORNERS = ["x1", "y1", "x2", "y2"]
IMAGES = ["split", "image", "file", "width", "height"]
BOXES = ["split", "image", "box", *CORNERS, "category", "name", "crowd"]


@dataclass(frozen=True)
class Tables:
    """Images, boxes and the class names that the source declares, in their order."""

    images: pd.DataFrame
    boxes: pd.DataFrame
    classes: list[str]


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dictionaries, for code that looks at one row at a time."""
    return cast(list[dict[str, Any]], table.to_dict("records"))


def joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Tables below each other, rows numbered anew."""
    return pd.concat(tables, ignore_index=True)
