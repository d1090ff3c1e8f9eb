"""Run the stage: read, decode, check, tell, and write the index."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from components.dataset.index import SPLITS, write_index
from components.errors import InputError
from components.tracking import Run
from components.validate_data import ValidateData
from components.validate_data.coco import read_coco
from components.validate_data.decode import decode_all
from components.validate_data.files import picture_files
from components.validate_data.layout import Layout, detect
from components.validate_data.report import write_report
from components.validate_data.summary import as_result, failure_message, metrics, summary_lines
from components.validate_data.tables import CORNERS, Tables
from components.validate_data.validation import Validation, validate
from components.validate_data.voc import read_voc

IMAGES = 1000
"""Images whose boxes are Python objects at a time, when the index is written."""


def run(stage: ValidateData, run: Run) -> None:
    """Validate the data set; on failure the report goes to the scratch folder.

    Raises:
        InputError: the data set has faults that stop the pipeline.
    """
    failed = {name: stage.scratch / name for name in ("result.json", "report.html")}
    for path in failed.values():
        path.unlink(missing_ok=True)
    names = {"train": stage.train, "test": stage.test}
    layout = detect(stage.data, names)
    tables = read(stage.data, layout, names)
    pictures = decode_all(stage.data, tables.images["file"])
    validation = validate(
        tables,
        pictures,
        picture_files(stage.data, tables.images["file"]),
        layout=layout.kind,
        on_bad_box=stage.on_bad_box,
        min_box_px=stage.min_box_px,
    )
    if validation.failures:
        stage.scratch.mkdir(parents=True, exist_ok=True)
        publish(validation, stage.data, failed["result.json"], failed["report.html"])
        raise InputError(failure_message(validation, failed["report.html"]))
    publish(validation, stage.data, stage.result, stage.report)
    write_json(stage.metrics, metrics(validation))
    write_index(stage.index, index_rows(validation), validation.classes, layout.kind)
    print("\n".join(summary_lines(validation)))
    run.tags({"data_layout": layout.kind})


def read(folder: Path, layout: Layout, names: dict[str, str]) -> Tables:
    """The plain tables of the data set.

    Raises:
        InputError: a split without images.
    """
    tables = read_coco(folder, layout, names) if layout.kind == "coco" else read_voc(folder, layout)
    for split in SPLITS:
        if not (tables.images["split"] == split).any():
            raise InputError(f"{layout.files[split]}: lists no images for the split '{split}'")
    return tables


def publish(validation: Validation, data: Path, result: Path, report: Path) -> None:
    """Write result and report."""
    write_json(result, as_result(validation))
    write_report(report, validation, data)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON with sorted keys, the same bytes for the same content."""
    text = json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def index_rows(validation: Validation) -> Iterator[dict[str, Any]]:
    """The rows of the index: images with their good boxes, clipped to the image."""
    images = validation.images.assign(image_id=image_ids(validation.images))
    order = np.argsort(validation.kept["image_row"].to_numpy(), kind="stable")
    begin = 0
    for start in range(0, len(images), IMAGES):
        part = images.iloc[start : start + IMAGES]
        end = begin + int(part["boxes"].sum())
        yield from part_rows(part, validation.kept.iloc[order[begin:end]], validation.classes)
        begin = end


def part_rows(
    images: pd.DataFrame, boxes: pd.DataFrame, classes: list[str]
) -> Iterator[dict[str, Any]]:
    """The index's rows of some images, whose boxes are in the images' order."""
    counts = images["boxes"].to_numpy()
    size = np.repeat(images[["real_width", "real_height"]].to_numpy(), counts, axis=0)
    corners = np.clip(boxes[CORNERS].to_numpy(), 0, np.tile(size, 2)).astype(np.float32)
    labels = 1 + pd.Index(classes).get_indexer(pd.Index(boxes["name"]))
    crowd = (boxes["crowd"] == 1).to_numpy()
    columns = ["image_id", "file", "split", "real_width", "real_height", "sha256"]
    rows = images[columns].itertuples(index=False, name=None)
    for row, end, count in zip(rows, np.cumsum(counts).tolist(), counts.tolist(), strict=True):
        image_id, file, split, width, height, sha256 = row
        mine = slice(end - count, end)
        yield {
            "image_id": image_id,
            "file": file,
            "split": split,
            "width": int(width),
            "height": int(height),
            "sha256": sha256,
            "boxes": corners[mine].tolist(),
            "labels": labels[mine].tolist(),
            "crowd": crowd[mine].tolist(),
        }


def image_ids(images: pd.DataFrame) -> list[int]:
    """The source's ids if they are whole numbers and differ over all splits (COCO's own do).

    Else (VOC, or each split counted from 1) the images are numbered from 1 by file name.
    """
    ids = images["image"]
    if ids.str.fullmatch(r"\d{1,18}").all() and ids.is_unique:
        return [int(value) for value in ids]
    return [int(rank) for rank in images["file"].rank(method="first")]
