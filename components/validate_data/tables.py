"""The two plain tables that both readers produce and that all checks read.

images: ``split``, ``image`` (the source's id, text), ``file`` (below the data folder),
``width``, ``height`` (as annotated, NaN where not).

boxes: ``split``, ``image``, ``box`` (the source's id, text), ``x1 y1 x2 y2`` (pixels, 0-based,
exclusive end; NaN where it is no number), ``category`` (as annotated), ``name`` (the class,
missing if unknown), ``crowd`` (NaN where it is no number). There may be millions of boxes, so
texts that many of them share are categories: a small number a box, each text once.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from components.dataset.index import SPLITS

CORNERS = ["x1", "y1", "x2", "y2"]
IMAGES = ["split", "image", "file", "width", "height"]
BOXES = ["split", "image", "box", *CORNERS, "category", "name", "crowd"]
RECORDS = 10_000
"""Rows held as Python objects at a time."""


@dataclass(frozen=True)
class Tables:
    """Images, boxes and the class names that the source declares, in their order."""

    images: pd.DataFrame
    boxes: pd.DataFrame
    classes: list[str]


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dictionaries, for code that looks at one row at a time.

    Most tables of offending rows are empty, for which pandas takes milliseconds.
    """
    return cast(list[dict[str, Any]], table.to_dict("records")) if len(table) else []


def joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Tables below each other, rows numbered anew; columns of categories stay so.

    The tables lose their columns one by one: both copies of all would be twice the memory.
    """
    names = list(tables[0].columns)
    return pd.DataFrame(
        {name: joined_column([table.pop(name) for table in tables]) for name in names}
    )


def joined_column(parts: list["pd.Series[Any]"]) -> "pd.Series[Any]":
    """Columns below each other."""
    if isinstance(parts[0].dtype, pd.CategoricalDtype):
        return pd.Series(union_categoricals(parts))
    return pd.concat(parts, ignore_index=True)


def categories(texts: list[str | None]) -> pd.Categorical:
    """Texts as categories; None is missing."""
    return pd.Categorical(pd.array(texts, dtype="str"))


def split_column(split: str, rows: int) -> "pd.Series[Any]":
    """The column ``split`` of boxes that are all of one split."""
    codes = np.full(rows, SPLITS.index(split), dtype=np.int8)
    return pd.Series(pd.Categorical.from_codes(codes, categories=pd.Index(SPLITS, dtype="str")))
