"""What a page says of the images that a stage worked on."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from components.dataset.index import Index


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """Images of a split, its objects, and its crowd or difficult boxes."""

    images: int
    objects: int
    crowd: int


def split_counts(index: Index, split: str) -> SplitCounts:
    """Count a split's images and boxes."""
    rows = index.rows(split)
    crowd = pc.list_flatten(index.table["crowd"].take(pa.array(rows))).to_pylist()
    return SplitCounts(len(rows), crowd.count(False), crowd.count(True))
