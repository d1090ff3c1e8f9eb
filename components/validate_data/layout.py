"""Which layout a data folder has, and where the annotations of its two splits lie."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Literal

from components.errors import InputError

COCO = (
    "annotations/instances_{name}.json",
    "annotations/{name}.json",
    "{name}.json",
    "{name}/_annotations.coco.json",
)
"""Where COCO annotations of a split are looked for; the last is Roboflow's."""
VOC = ("ImageSets/Main/{name}.txt",)
"""Where the image list of a Pascal VOC split is looked for."""
LONGEST = 250
"""Bytes of a file's or folder's name that file systems take, with ".xml" behind it."""
LONGEST_PATH = 2000
"""Bytes of a whole name; with the data folder before it, it stays below Linux's 4096."""


@dataclass(frozen=True)
class Layout:
    """The layout, and each split's annotation file (COCO) or image list (VOC)."""

    kind: Literal["coco", "voc"]
    files: dict[str, Path]


def detect(folder: Path, names: Mapping[str, str]) -> Layout:
    """Find the layout of `folder`; `names` maps the index's splits to the source's names.

    Raises:
        InputError: neither layout or both, an ambiguous or a missing split.
    """
    coco, voc = find(folder, COCO, names), find(folder, VOC, names)
    if coco and voc:
        both = ", ".join(str(path.relative_to(folder)) for path in [*coco.values(), *voc.values()])
        raise InputError(
            f"{folder} has both a COCO and a Pascal VOC layout ({both}). Move one of them away."
        )
    files = coco or voc
    for split, name in names.items():
        if split not in files:
            raise InputError(missing(folder, split, name))
    return Layout("coco" if coco else "voc", files)


def find(folder: Path, patterns: tuple[str, ...], names: Mapping[str, str]) -> dict[str, Path]:
    """The file of each split that one of the patterns leads to.

    Raises:
        InputError: more than one pattern does, or a link leads out of the folder.
    """
    found = {}
    for split, name in names.items():
        paths = [folder / pattern.format(name=name) for pattern in patterns]
        paths = [path for path in paths if path.is_file()]
        if len(paths) > 1:
            listed = ", ".join(str(path.relative_to(folder)) for path in paths)
            raise InputError(f"{folder}: split '{name}' has several annotation files: {listed}")
        if paths:
            found[split] = check_link(folder, paths[0])
    return found


def missing(folder: Path, split: str, name: str) -> str:
    """The message for a split that is not there: what was looked for, what there is."""
    looked_for = ", ".join(pattern.format(name=name) for pattern in (*COCO, *VOC))
    there = [
        str(path.relative_to(folder))
        for pattern in (*COCO, *VOC)
        for path in sorted(folder.glob(pattern.format(name="*")))
    ]
    listed = ", ".join(there[:20]) if there else "no annotation file of either layout"
    return (
        f"{folder}: no split named '{name}'. Looked for {looked_for}. There is: {listed}. "
        f"Name the splits with --train and --test ({split} is now '{name}')."
    )


def check_inside(file: Path, name: str) -> str:
    """A name that an annotation gives for an image; it must stay inside the data folder.

    Raises:
        InputError: an absolute name, one with `..`, an empty one, or one that no file can have.
    """
    check_writable(file, name)
    windows = PureWindowsPath(name)
    outside = windows.drive or windows.root or PurePosixPath(name).is_absolute()
    if not name or outside or ".." in windows.parts or "\0" in name:
        raise InputError(
            f"{file}: image name {name!r} is not a path inside the data folder. "
            "Write it relative to the folder of images, with '/' and without '..'."
        )
    return name


def check_writable(file: Path, name: str) -> None:
    """Refuse a name that no file can have, or that would mangle a terminal.

    Raises:
        InputError: control characters, half of a surrogate pair, or too long.
    """
    encoded = name.encode("utf-8", "surrogatepass")
    parts = encoded.split(b"/")
    if len(encoded) > LONGEST_PATH or max(map(len, parts)) > LONGEST:
        raise InputError(
            f"{file}: image name {name!r:.60}... has {len(encoded)} bytes, more than a file's name "
            f"can have ({LONGEST}). Rename the file."
        )
    if any(char < " " or "\x7f" <= char < "\xa0" or "\ud800" <= char < "\ue000" for char in name):
        raise InputError(
            f"{file}: image name {name!r} has control characters or is not valid UTF-8, and is "
            "not a path inside the data folder. Rename the file, in printable characters."
        )


def leads_out(folder: Path, path: Path) -> bool:
    """Whether `path` is, or lies behind, a link that leads out of `folder`."""
    root, real = os.path.realpath(folder), os.path.realpath(path)
    return os.path.commonpath([root, real]) != root


def check_link(folder: Path, path: Path) -> Path:
    """An annotation file, which must not be a link out of the data folder.

    Raises:
        InputError: it is one.
    """
    if leads_out(folder, path):
        raise InputError(
            f"{path}: a link out of the data folder, to {os.path.realpath(path)}. "
            "Put a copy of the file there."
        )
    return path
