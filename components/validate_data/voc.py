"""Read Pascal VOC annotations into plain tables (VOC2012 development kit, "Annotation")."""

import math
from collections import defaultdict
from itertools import islice
from pathlib import Path, PurePath
from typing import Any, NoReturn
from xml.etree import ElementTree

import pandas as pd

from components.errors import InputError
from components.progress import progress
from components.validate_data.layout import Layout, check_inside, check_link
from components.validate_data.tables import (
    BOXES,
    CORNERS,
    IMAGES,
    RECORDS,
    Tables,
    categories,
    joined,
    split_column,
)


class NoDoctype(ElementTree.TreeBuilder):
    """A tree builder that refuses document types, and with them entities of any kind."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> NoReturn:
        """Refuse the declaration."""
        raise InputError("has a <!DOCTYPE>, which is not read; remove that declaration")


def read_voc(folder: Path, layout: Layout) -> Tables:
    """Read both splits; the classes are the sorted names of the objects.

    Raises:
        InputError: an annotation that is missing or no XML.
    """
    files = image_files(folder)
    images: list[pd.DataFrame] = []
    boxes: list[pd.DataFrame] = []
    for split, listing in layout.files.items():
        names = image_list(folder, listing)
        remaining = iter(progress(names, len(names), f"annotations, {split}"))
        part = list(islice(remaining, RECORDS))
        while part or not images:
            tables = read_part(folder, split, part, files)
            images.append(tables[0])
            boxes.append(tables[1])
            part = list(islice(remaining, RECORDS))
    table = joined(boxes)
    return Tables(joined(images), table, sorted(table["name"].cat.categories))


def read_part(
    folder: Path, split: str, names: list[str], files: dict[str, list[str]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables of images and boxes of some images of a split."""
    images: list[tuple[Any, ...]] = []
    boxes: list[tuple[Any, ...]] = []
    for image in names:
        root = load(check_link(folder, folder / "Annotations" / f"{image}.xml"))
        size = [number(root, f"size/{key}") for key in ("width", "height")]
        images.append((split, image, file_of(image, root, files), *size))
        boxes += [
            (image, f"{image}:{n}", *box_values(node))
            for n, node in enumerate(root.findall("object"), start=1)
        ]
    table = pd.DataFrame(boxes, columns=BOXES[1:])
    table.insert(0, "split", split_column(split, len(table)))
    for name in ("image", "category", "name"):
        table[name] = categories(table[name].tolist())
    table = table.astype({"box": "str", "crowd": "float64", **dict.fromkeys(CORNERS, "float64")})
    return pd.DataFrame(images, columns=IMAGES), table


def image_files(folder: Path) -> dict[str, list[str]]:
    """The files of JPEGImages, by name without suffix."""
    found = defaultdict(list)
    for name in sorted(path.name for path in (folder / "JPEGImages").glob("*")):
        found[PurePath(name).stem].append(name)
    return found


def image_list(folder: Path, listing: Path) -> list[str]:
    """The image names of one split.

    Raises:
        InputError: names without annotation, or outside the folder.
    """
    try:
        lines = listing.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{listing}: not UTF-8 text: {error}") from None
    names = [check_inside(listing, line.strip()) for line in lines if line.strip()]
    lost = [name for name in names if not (folder / "Annotations" / f"{name}.xml").is_file()]
    if lost:
        shown = ", ".join(lost[:10]) + (f" and {len(lost) - 10} more" if len(lost) > 10 else "")
        raise InputError(
            f"{listing}: {len(lost)} of {len(names)} images have no file in Annotations/: {shown}. "
            "Add NAME.xml (an image without objects has one too), or take them off the list."
        )
    return names


def load(file: Path) -> ElementTree.Element:
    """The root of one annotation.

    Raises:
        InputError: no XML, or XML with a document type.
    """
    try:
        parser = ElementTree.XMLParser(target=NoDoctype())
        return ElementTree.parse(file, parser).getroot()
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        # The latter two: an encoding that Python does not know, or that expat cannot read.
        raise InputError(f"{file}: not an XML file: {error}") from None
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def file_of(image: str, root: ElementTree.Element, files: dict[str, list[str]]) -> str:
    """The image's file below the data folder; where several have its name, <filename> decides.

    Raises:
        InputError: it does not decide.
    """
    found = files.get(image, [f"{image}.jpg"])
    named = (root.findtext("filename") or "").strip()
    if len(found) > 1 and named not in found:
        raise InputError(
            f"Annotations/{image}.xml: JPEGImages has {', '.join(found)}, and <filename> "
            f"({named or 'absent'}) does not say which is meant. Remove one or mend <filename>."
        )
    return f"JPEGImages/{found[0] if len(found) == 1 else named}"


def box_values(node: ElementTree.Element) -> tuple[Any, ...]:
    """x1 y1 x2 y2, category, name, crowd of an <object>.

    VOC counts pixels from 1 and includes the last, so xmin = 1 is x1 = 0 and xmax stays.
    """
    xmin, ymin, xmax, ymax = (number(node, f"bndbox/{k}") for k in ("xmin", "ymin", "xmax", "ymax"))
    name = (node.findtext("name") or "").strip()
    crowd = 0.0 if node.find("difficult") is None else number(node, "difficult")
    return xmin - 1, ymin - 1, xmax, ymax, name, name or None, crowd


def number(node: ElementTree.Element, path: str) -> float:
    """The number at `path`, NaN if there is none."""
    try:
        return float(node.findtext(path) or "nan")
    except ValueError:
        return math.nan
