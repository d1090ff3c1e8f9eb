"""The columnar index of a data set: one row an image, written once by validate_data.

An uncompressed Arrow IPC file, read through a memory map. Columns:

====================  =============================  ==========================================
``image_id``          int64                          unique
``file``              string                         path below the data folder, with ``/``
``split``             string                         ``train`` or ``test``
``width, height``     int32                          pixels
``sha256``            string                         of the file's bytes
``boxes``             list<fixed_size_list<f32, 4>>  x1 y1 x2 y2, pixels, 0-based, exclusive end
``labels``            list<int32>                    1..C, in the order of ``classes``
``crowd``             list<bool>                     COCO ``iscrowd`` or VOC ``difficult``
====================  =============================  ==========================================

The schema's metadata holds ``classes`` (JSON list), ``layout`` (coco or voc) and ``digest``:
the SHA-256 over the rows and the classes, which names the data set's version.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.errors import InputError

BOXES = pa.list_(pa.list_(pa.float32(), 4))
SCHEMA = pa.schema(
    [
        ("image_id", pa.int64()),
        ("file", pa.string()),
        ("split", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("sha256", pa.string()),
        ("boxes", BOXES),
        ("labels", pa.list_(pa.int32())),
        ("crowd", pa.list_(pa.bool_())),
    ]
)
SPLITS = ("train", "test")
_READ = ("image_id", "file", "width", "height", "boxes", "labels", "crowd")
_ROWS = 1024
"""Rows that are Python objects at a time, when an index is written."""

OUTSIDE = r"^[/\\]|^[A-Za-z]:|(?:^|[/\\])\.\.(?:[/\\]|$)|\x00"
"""What no name has that validate_data writes: absolute ones, ``..``; an index may be forged."""


@dataclass(frozen=True, slots=True)
class Image:
    """One row of the index; boxes (K, 4) float32, labels (K,) int32, crowd (K,) bool."""

    image_id: int
    file: str
    width: int
    height: int
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray


@dataclass(frozen=True, slots=True)
class Index:
    """The rows of a data set, memory-mapped; `images` reads single rows on demand."""

    table: pa.Table
    classes: tuple[str, ...]
    layout: str
    digest: str

    def rows(self, split: str) -> np.ndarray:
        """Row numbers of one split, in the index's order: (N,) int64.

        Raises:
            InputError: the split has no images.
        """
        found = np.flatnonzero(pc.equal(self.table["split"], split).to_numpy())
        if not len(found):
            raise InputError(f"the index has no images in split '{split}' (it has {SPLITS})")
        return found

    def image(self, row: int) -> Image:
        """One row, with zero-copy boxes."""
        value = {name: self.table[name].chunk(0)[int(row)] for name in _READ}
        boxes = value["boxes"].values.flatten().to_numpy().reshape(-1, 4)
        return Image(
            image_id=value["image_id"].as_py(),
            file=value["file"].as_py(),
            width=value["width"].as_py(),
            height=value["height"].as_py(),
            boxes=boxes,
            labels=value["labels"].values.to_numpy(),
            crowd=value["crowd"].values.to_numpy(zero_copy_only=False),
        )

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """Height and width of the images of rows (N,): (N, 2) int32, without reading the rest."""
        columns = [self.table[name].to_numpy()[rows] for name in ("height", "width")]
        return np.stack(columns, axis=1)


def write_index(
    path: Path, rows: Iterable[dict[str, Any]], classes: list[str], layout: str
) -> Index:
    """Write rows (dictionaries with the columns above, boxes as nested lists) as an index file.

    The rows are ordered by file name, so that the same data gives the same bytes. Only some of
    them are held as Python objects at a time.
    """
    table = _collected(rows)
    table = table.take(pc.sort_indices(table["file"])).combine_chunks()
    metadata = {
        "classes": json.dumps(classes),
        "layout": layout,
        "digest": _digest(table, classes),
    }
    table = table.replace_schema_metadata(metadata)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return read_index(path)


def _collected(rows: Iterable[dict[str, Any]]) -> pa.Table:
    """The rows as one table, in one chunk; the parts it was made of are given up."""
    parts, remaining = [SCHEMA.empty_table()], iter(rows)
    while part := list(islice(remaining, _ROWS)):
        parts.append(pa.Table.from_pylist(part, schema=SCHEMA))
    return pa.concat_tables(parts).combine_chunks()


def _digest(table: pa.Table, classes: list[str]) -> str:
    """The SHA-256 of ``[classes, rows]`` as JSON with sorted keys, a few rows at a time."""
    digest = hashlib.sha256(f"[{json.dumps(classes)}, [".encode())
    for start in range(0, len(table), _ROWS):
        rows = table.slice(start, _ROWS).to_pylist()
        text = json.dumps(rows, sort_keys=True)[1:-1]
        digest.update((", " if start else "").encode() + text.encode())
    digest.update(b"]]")
    return digest.hexdigest()


def read_index(path: Path) -> Index:
    """Open an index through a memory map.

    Raises:
        InputError: the file is no index.
    """
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        metadata = {k.decode(): v.decode() for k, v in table.schema.metadata.items()}
        if not table.schema.equals(SCHEMA):
            raise InputError(f"{path}: the columns are {table.schema.names}, not an index's")
        if pc.any(pc.match_substring_regex(table["file"], OUTSIDE)).as_py():
            raise InputError(f"{path}: names images outside of the data folder; it is not read")
        return Index(
            table, tuple(json.loads(metadata["classes"])), metadata["layout"], metadata["digest"]
        )
    except (pa.ArrowInvalid, KeyError, AttributeError) as error:
        raise InputError(
            f"{path}: not an index written by validate_data ({error}); run it again"
        ) from None
