"""Read COCO annotation files into plain tables (cocodataset.org, "Data format")."""

import json
import re
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from components.errors import InputError
from components.validate_data.layout import Layout, check_inside
from components.validate_data.tables import CORNERS, Tables, joined

IMAGE_FOLDERS = ("{name}", "images/{name}", "images", "JPEGImages", "")
"""Where the images of a split are looked for, below the data folder; then beside the JSON."""


def read_coco(folder: Path, layout: Layout, names: dict[str, str]) -> Tables:
    """Read both splits.

    Categories may have gaps in their ids; classes come in the order of the ids.

    Raises:
        InputError: a file that is not COCO's, or categories on which the splits disagree.
    """
    contents = {split: load(file) for split, file in layout.files.items()}
    categories = merged_categories(layout, contents)
    images, boxes = [], []
    for split, content in contents.items():
        file = layout.files[split]
        images.append(image_table(folder, file, names[split], content["images"]))
        boxes.append(box_table(content["annotations"], categories))
        images[-1].insert(0, "split", split)
        boxes[-1].insert(0, "split", split)
    table = joined(boxes)
    return Tables(joined(images), table, class_names(categories, set(table["category"])))


def class_names(categories: dict[str, str], used: set[str]) -> list[str]:
    """The names of the categories in the order of their ids, each once.

    A name may stand for two categories only if one of them has no box (Roboflow lists its
    supercategory as category 0, often under the name of a class).

    Raises:
        InputError: both have boxes.
    """
    ids: dict[str, str] = {}
    for key in sorted(categories, key=lambda key: (not key.isdigit(), key.zfill(20))):
        name = categories[key]
        if name in ids and ids[name] in used and key in used:
            raise InputError(
                f"'{name}' is the name of categories {ids[name]} and {key}, and both have boxes. "
                "Give the classes different names, or their boxes one category."
            )
        ids[name] = key if key in used else ids.get(name, key)
    return list(ids)


def load(file: Path) -> dict[str, Any]:
    """One annotation file.

    Raises:
        InputError: not JSON, NaN or Infinity in it, or a list that is missing.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        content = json.loads(text, parse_constant=lambda name: refuse_constant(file, text, name))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{file}: not a JSON file in UTF-8: {error}") from None
    for key in ("images", "annotations", "categories"):
        records = content.get(key) if isinstance(content, dict) else None
        if not isinstance(records, list):
            raise InputError(f"{file}: no list '{key}'; a COCO file has it at its top level")
        for number, record in enumerate(records):
            if not isinstance(record, dict):
                raise InputError(f"{file}: {key}[{number}] is {record!r:.60}, not an object")
    return dict(content)


def refuse_constant(file: Path, text: str, name: str) -> NoReturn:
    """Refuse NaN, Infinity or -Infinity, which are no JSON, with the text around the first."""
    found = re.search(rf"(?<=[\s:,\[]){name}(?=\s*[,\]}}])", text)
    near = text[max(found.start() - 60, 0) : found.end()] if found else name
    raise InputError(
        f"{file}: {name} is not a number that JSON allows, at ...{' '.join(near.split())}. "
        "Mend or remove that annotation."
    )


def required(file: Path, kind: str, records: list[dict[str, Any]], key: str) -> list[Any]:
    """One value of all records.

    Raises:
        InputError: a record without it, by its number.
    """
    values = [record.get(key) for record in records]
    if None in values:
        number = values.index(None)
        raise InputError(f"{file}: {kind}[{number}] has no '{key}': {records[number]!r:.200}")
    return values


def id_text(value: Any) -> str:
    """An id as text; 7, 7.0 and "7" are the same id."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)


def merged_categories(layout: Layout, contents: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Category names by id over all splits.

    Raises:
        InputError: two names for one id, or an empty name.
    """
    merged: dict[str, str] = {}
    for split, content in contents.items():
        file = layout.files[split]
        ids = required(file, "categories", content["categories"], "id")
        names = required(file, "categories", content["categories"], "name")
        for key, name in zip(map(id_text, ids), map(str, names), strict=True):
            if not name.strip():
                raise InputError(f"{file}: category {key} has an empty name; give it one")
            if merged.setdefault(key, name) != name:
                raise InputError(
                    f"{file}: category {key} is '{name}' here and '{merged[key]}' before. "
                    "One id must have one name in all splits."
                )
    return merged


def image_table(folder: Path, file: Path, name: str, records: list[dict[str, Any]]) -> pd.DataFrame:
    """The images of one split; files that are nowhere keep their name, for the check to find."""
    places = [folder / place.format(name=name) for place in IMAGE_FOLDERS] + [file.parent]
    places = [place for place in places if place.is_dir()]
    names = [check_inside(file, str(n)) for n in required(file, "images", records, "file_name")]
    return pd.DataFrame(
        {
            "image": [id_text(value) for value in required(file, "images", records, "id")],
            "file": [locate(folder, places, name) for name in names],
            "width": numbers([record.get("width") for record in records]),
            "height": numbers([record.get("height") for record in records]),
        }
    )


def locate(folder: Path, places: list[Path], name: str) -> str:
    """The first place that has the file `name`, as a path below `folder`."""
    found = next((place / name for place in places if (place / name).is_file()), places[0] / name)
    return found.relative_to(folder).as_posix()


def box_table(records: list[dict[str, Any]], categories: dict[str, str]) -> pd.DataFrame:
    """The boxes of one split: COCO's [x, y, width, height] as corners."""
    keys = [id_text(record.get("category_id")) for record in records]
    ids = [record.get("id", f"number {n}") for n, record in enumerate(records, start=1)]
    table = pd.DataFrame(
        {
            "image": [id_text(record.get("image_id")) for record in records],
            "box": [id_text(value) for value in ids],
            "category": keys,
            "name": pd.Series([categories.get(key) for key in keys], dtype=object),
            "crowd": numbers([record.get("iscrowd", 0) for record in records]),
        }
    )
    corners = xywh([record.get("bbox") for record in records])
    corners[:, 2:] += corners[:, :2]
    table[CORNERS] = corners
    return table


def xywh(boxes: list[Any]) -> np.ndarray:
    """Boxes as (N, 4) float64; a row of NaN for what is not four numbers."""
    try:
        array = np.asarray(boxes, dtype=np.float64)
        if array.shape == (len(boxes), 4):
            return array
    except (TypeError, ValueError):
        pass
    return np.array([four_numbers(box) for box in boxes], dtype=np.float64).reshape(-1, 4)


def four_numbers(box: Any) -> np.ndarray:
    """One box as (4,), or NaN."""
    try:
        array = np.asarray(box, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    return array if array.shape == (4,) else np.full(4, np.nan)


def numbers(values: list[Any]) -> np.ndarray:
    """Values as float64, NaN for what is no number."""
    series = pd.Series(values, dtype=object)
    return pd.to_numeric(series, errors="coerce").to_numpy(dtype=np.float64)
