"""Proposals on disk: one row an image, keyed by image id. See docs/proposals.md.

An uncompressed Arrow IPC file, read through a memory map: ``image_id`` int64, ``boxes``
list<fixed_size_list<f32, 4>> as x1 y1 x2 y2 in the original image's pixels, best first, and
``scores`` list<f32>. The schema's metadata holds ``checkpoint`` and ``data``: the digests of the
network and of the data set that made them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from components.dataset.index import BOXES, Image, Index
from components.errors import InputError

SCHEMA = pa.schema([("image_id", pa.int64()), ("boxes", BOXES), ("scores", pa.list_(pa.float32()))])
IMAGES_PER_RECORD_BATCH = 256


@dataclass(frozen=True, slots=True)
class ImageProposals:
    """Proposals of one image: boxes (N, 4) float32 in original pixels, scores (N,), best first."""

    image_id: int
    boxes: np.ndarray
    scores: np.ndarray


class ProposalFile:
    """Proposals read from a memory map, by image id."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            InputError: it is no proposals file.
        """
        try:
            table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
            self._columns = {name: table[name] for name in SCHEMA.names}
        except (pa.ArrowInvalid, KeyError) as error:
            raise InputError(f"{path}: not a proposals file ({error})") from None
        if not table.schema.equals(SCHEMA):
            raise InputError(f"{path}: the columns must be {SCHEMA}, not {table.schema}")
        metadata = table.schema.metadata or {}
        self.path = path
        self.checkpoint = metadata.get(b"checkpoint", b"").decode()
        self.data = metadata.get(b"data", b"").decode()
        ids = self._columns["image_id"].to_numpy()
        self._rows = np.argsort(ids, kind="stable")
        self._ids = ids[self._rows]

    def __len__(self) -> int:
        """The number of images."""
        return len(self._ids)

    @property
    def proposals(self) -> int:
        """The number of proposals of all images."""
        return sum(len(chunk.flatten()) for chunk in self._columns["scores"].chunks)

    def image(self, image_id: int) -> ImageProposals:
        """The proposals of one image, zero-copy.

        Raises:
            InputError: the file has none for this image.
        """
        place = np.searchsorted(self._ids, image_id)
        if place == len(self._ids) or self._ids[place] != image_id:
            raise InputError(f"{self.path}: no proposals for image {image_id}; generate them again")
        row = int(self._rows[place])
        boxes = self._columns["boxes"][row].values.flatten().to_numpy().reshape(-1, 4)
        return ImageProposals(image_id, boxes, self._columns["scores"][row].values.to_numpy())

    def check(self, index: Index, split: str, checkpoint_digest: str | None = None) -> None:
        """Refuse proposals that are not those of a split, before they are used.

        Absent digests are not compared. Boxes are looked at where no network's digest tells who
        has made them.

        Raises:
            InputError: they are of another data set or network, which both are named; an image has
                none; or a box is none, or lies outside its image by more than a pixel.
        """
        self._check_digests(index.digest, checkpoint_digest)
        rows = index.rows(split)
        ids = index.table["image_id"].to_numpy()[rows]
        missing = ids[~np.isin(ids, self._ids)]
        if len(missing):
            raise InputError(
                f"{self.path}: no proposals for {len(missing)} of the {len(ids)} images of split "
                f"'{split}', such as image {missing[0]}; generate them for this split"
            )
        if not self.checkpoint:
            for row in rows:
                image = index.image(row)
                _check_boxes(self.path, image, self.image(image.image_id))

    def _check_digests(self, data: str, checkpoint: str | None) -> None:
        for name, own, wanted in (
            ("data set", self.data, data),
            ("checkpoint", self.checkpoint, checkpoint),
        ):
            if own and wanted and own != wanted:
                raise InputError(
                    f"{self.path}: made with {name} {own[:12]}, but this is {name} {wanted[:12]}; "
                    "run generate_proposals again"
                )


def _check_boxes(path: Path, image: Image, proposals: ImageProposals) -> None:
    if len(proposals.boxes) != len(proposals.scores):
        raise InputError(
            f"{path}: image {image.image_id} ({image.file}) has {len(proposals.boxes)} boxes and "
            f"{len(proposals.scores)} scores; each box has one"
        )
    x1, y1, x2, y2 = proposals.boxes.T
    inside = (x1 >= -1) & (y1 >= -1) & (x2 <= image.width + 1) & (y2 <= image.height + 1)
    good = inside & (x1 < x2) & (y1 < y2)
    if not good.all():
        box = proposals.boxes[~good][0].tolist()
        raise InputError(
            f"{path}: box {box} of image {image.image_id} ({image.file}) is not x1 y1 x2 y2 with "
            f"x1 < x2 and y1 < y2 within {image.width} x {image.height} pixels"
        )


def write_proposals(
    path: Path, proposals: Iterable[ImageProposals], *, checkpoint: str, data: str
) -> None:
    """Write proposals image by image; nothing more than one record batch is held."""
    schema = SCHEMA.with_metadata({"checkpoint": checkpoint, "data": data})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        rows: list[ImageProposals] = []
        for image in proposals:
            rows.append(image)
            if len(rows) == IMAGES_PER_RECORD_BATCH:
                writer.write_batch(_record_batch(rows, schema))
                rows = []
        if rows:
            writer.write_batch(_record_batch(rows, schema))


def _record_batch(rows: list[ImageProposals], schema: pa.Schema) -> pa.RecordBatch:
    offsets = np.cumsum([0] + [len(row.scores) for row in rows]).astype(np.int32)
    coordinates = np.concatenate([row.boxes.reshape(-1) for row in rows]).astype(np.float32)
    scores = np.concatenate([row.scores for row in rows]).astype(np.float32)
    boxes = pa.FixedSizeListArray.from_arrays(pa.array(coordinates), 4)
    columns = [
        pa.array([row.image_id for row in rows], pa.int64()),
        pa.ListArray.from_arrays(pa.array(offsets), boxes),
        pa.ListArray.from_arrays(pa.array(offsets), pa.array(scores)),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
