"""Read COCO annotation files into plain tables (cocodataset.org, "Data format")."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from components.errors import InputError
from components.validate_data.json_lists import JsonText, json_lists, open_json
from components.validate_data.layout import Layout, check_inside
from components.validate_data.tables import (
    CORNERS,
    RECORDS,
    Tables,
    categories,
    joined,
    split_column,
)

IMAGE_FOLDERS = ("{name}", "images/{name}", "images", "JPEGImages", "")
"""Where the images of a split are looked for, below the data folder; then beside the JSON."""
LARGEST = 10**300
"""Larger whole numbers are no numbers here."""
Records = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class Content:
    """What is kept of an annotation file: (id, name) of categories, images, boxes."""

    categories: list[tuple[str, str]]
    images: pd.DataFrame
    boxes: pd.DataFrame


def read_coco(folder: Path, layout: Layout, names: dict[str, str]) -> Tables:
    """Read both splits.

    Categories may have gaps in their ids; classes come in the order of the ids.

    Raises:
        InputError: a file that is not COCO's, or categories on which the splits disagree.
    """
    contents = {split: load(folder, file, names[split]) for split, file in layout.files.items()}
    names_by_id = merged_categories(layout, contents)
    for split, content in contents.items():
        content.images.insert(0, "split", split)
        content.boxes.insert(0, "split", split_column(split, len(content.boxes)))
    images = joined([content.images for content in contents.values()])
    boxes = joined([content.boxes for content in contents.values()])
    keys = boxes["category"].cat
    used = keys.categories.tolist()
    boxes["name"] = categories([names_by_id.get(key) for key in used]).take(keys.codes.to_numpy())
    return Tables(images, boxes, class_names(names_by_id, set(used)))


def class_names(names: dict[str, str], used: set[str]) -> list[str]:
    """The names of the categories in the order of their ids, each once.

    A name may stand for two categories only if one of them has no box (Roboflow lists its
    supercategory as category 0, often under the name of a class).

    Raises:
        InputError: both have boxes.
    """
    ids: dict[str, str] = {}
    for key in sorted(names, key=lambda key: (not key.isdigit(), key.zfill(20))):
        name = names[key]
        if name in ids and ids[name] in used and key in used:
            raise InputError(
                f"'{name}' is the name of categories {ids[name]} and {key}, and both have boxes. "
                "Give the classes different names, or their boxes one category."
            )
        ids[name] = key if key in used else ids.get(name, key)
    return list(ids)


def load(folder: Path, file: Path, name: str) -> Content:
    """One annotation file, read record by record.

    Raises:
        InputError: not JSON, NaN or Infinity in it, or a list that is missing.
    """
    readers: dict[str, Callable[[Records], Any]] = {
        "categories": lambda records: category_list(file, records),
        "images": lambda records: image_table(folder, file, name, records),
        "annotations": box_table,
    }
    found = {}
    with open_json(file) as opened:
        text = JsonText(opened, lambda constant, near: refuse_constant(file, near, constant))
        try:
            for key, elements in json_lists(text, tuple(readers)):
                if key in found:
                    raise InputError(f"{file}: has the list '{key}' twice. Join the two.")
                found[key] = readers[key](objects(file, key, elements))
        except json.JSONDecodeError as error:
            place = f"{error.msg} at character {text.before + error.pos}"
            raise InputError(f"{file}: not a JSON file in UTF-8: {place}") from None
        except InputError as error:
            named = str(error).startswith(str(file))
            raise InputError(str(error) if named else f"{file}: {error}") from None
        except UnicodeEncodeError as error:
            raise InputError(
                f"{file}: {error.object!r:.100} has half of a surrogate pair (\\ud800 to \\udfff), "
                "which is no character. Mend that text."
            ) from None
        except RecursionError:
            raise InputError(
                f"{file}: lists or objects in it are nested too deep. Mend it; a COCO file is "
                "nested five deep."
            ) from None
        except ValueError as error:  # not UTF-8, or a whole number of thousands of digits
            raise InputError(f"{file}: not a JSON file in UTF-8: {error}") from None
    for key in ("images", "annotations", "categories"):
        if key not in found:
            raise InputError(f"{file}: no list '{key}'; a COCO file has it at its top level")
    return Content(found["categories"], found["images"], found["annotations"])


def objects(file: Path, key: str, elements: Iterator[Any]) -> Records:
    """The elements of a list, which must be objects.

    Raises:
        InputError: one is not.
    """
    for number, record in enumerate(elements):
        if not isinstance(record, dict):
            raise InputError(f"{file}: {key}[{number}] is {record!r:.60}, not an object")
        yield record


def refuse_constant(file: Path, text: str, name: str) -> NoReturn:
    """Refuse NaN, Infinity or -Infinity, which are no JSON, with the text around the first."""
    found = re.search(rf"(?<=[\s:,\[]){name}(?=\s*[,\]}}])", text)
    near = text[max(found.start() - 60, 0) : found.end()] if found else name
    raise InputError(
        f"{file}: {name} is not a number that JSON allows, at ...{' '.join(near.split())}. "
        "Mend or remove that annotation."
    )


def required(file: Path, kind: str, records: Records, *keys: str) -> Records:
    """The records, each with a value for all keys.

    Raises:
        InputError: a record without one, by its number.
    """
    for number, record in enumerate(records):
        for key in keys:
            if record.get(key) is None:
                raise InputError(f"{file}: {kind}[{number}] has no '{key}': {record!r:.200}")
        yield record


def id_text(value: Any) -> str:
    """An id as text; 7, 7.0 and "7" are the same id."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)


def category_list(file: Path, records: Records) -> list[tuple[str, str]]:
    """Id and name of the categories of one file.

    Raises:
        InputError: an empty name, or none.
        UnicodeEncodeError: a name that is no text.
    """
    found = [
        (id_text(record["id"]), str(record["name"]))
        for record in required(file, "categories", records, "id", "name")
    ]
    for key, name in found:
        (key + name).encode()  # raises at half a surrogate pair
        if not name.strip():
            raise InputError(f"{file}: category {key} has an empty name; give it one")
    return found


def merged_categories(layout: Layout, contents: dict[str, Content]) -> dict[str, str]:
    """Category names by id over all splits.

    Raises:
        InputError: two names for one id.
    """
    merged: dict[str, str] = {}
    for split, content in contents.items():
        for key, name in content.categories:
            if merged.setdefault(key, name) != name:
                raise InputError(
                    f"{layout.files[split]}: category {key} is '{name}' here and '{merged[key]}' "
                    "before. One id must have one name in all splits."
                )
    return merged


def image_table(folder: Path, file: Path, name: str, records: Records) -> pd.DataFrame:
    """The images of one split; files that are nowhere keep their name, for the check to find."""
    places = [folder / place.format(name=name) for place in IMAGE_FOLDERS] + [file.parent]
    places = [place for place in places if place.is_dir()]

    def image_part(records: list[dict[str, Any]], first: int) -> pd.DataFrame:
        names = [check_inside(file, str(record["file_name"])) for record in records]
        return pd.DataFrame(
            {
                "image": pd.array([id_text(record["id"]) for record in records], dtype="str"),
                "file": pd.array([locate(folder, places, name) for name in names], dtype="str"),
                "width": sizes([record.get("width") for record in records]),
                "height": sizes([record.get("height") for record in records]),
            }
        )

    return in_parts(required(file, "images", records, "file_name", "id"), image_part)


def locate(folder: Path, places: list[Path], name: str) -> str:
    """The first place that has the file `name`, as a path below `folder`."""
    found = next((place / name for place in places if (place / name).is_file()), places[0] / name)
    return found.relative_to(folder).as_posix()


def box_table(records: Records) -> pd.DataFrame:
    """The boxes of one split: COCO's [x, y, width, height] as corners."""
    return in_parts(records, box_part)


def in_parts(
    records: Records, table_of: Callable[[list[dict[str, Any]], int], pd.DataFrame]
) -> pd.DataFrame:
    """The table of all records; ``table_of`` makes it of some, and is told the first's number."""
    parts, number = [], 1
    while part := list(islice(records, RECORDS)):
        parts.append(table_of(part, number))
        number += len(part)
    return joined(parts or [table_of([], 1)])


def box_part(records: list[dict[str, Any]], first: int) -> pd.DataFrame:
    """The boxes of some records; a box without an id is named by its number from ``first`` on."""
    ids = [record.get("id", f"number {n}") for n, record in enumerate(records, start=first)]
    table = pd.DataFrame(
        {
            "image": categories([id_text(record.get("image_id")) for record in records]),
            "box": pd.array([id_text(value) for value in ids], dtype="str"),
            "category": categories([id_text(record.get("category_id")) for record in records]),
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
    except (TypeError, ValueError, OverflowError):
        pass
    return np.array([four_numbers(box) for box in boxes], dtype=np.float64).reshape(-1, 4)


def four_numbers(box: Any) -> np.ndarray:
    """One box as (4,), or NaN."""
    try:
        array = np.asarray(box, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.empty(0)
    return array if array.shape == (4,) else np.full(4, np.nan)


def sizes(values: list[Any]) -> np.ndarray:
    """Widths or heights as float64: NaN where there is none, -1 for what is no number.

    An absent size is taken from the picture; a wrong one must not pass for absent.
    """
    found = numbers(values)
    wrong = np.isnan(found) & np.array([value is not None for value in values], dtype=bool)
    return np.where(wrong, -1.0, found)


def numbers(values: Sequence[Any] | pd.Series) -> np.ndarray:
    """Values as float64, NaN for what is no number."""
    # A whole number that no float holds is not coerced: it raises.
    held = [None if type(v) is int and abs(v) > LARGEST else v for v in values]
    series = pd.Series(held, dtype=object)
    return pd.to_numeric(series, errors="coerce").to_numpy(dtype=np.float64)
