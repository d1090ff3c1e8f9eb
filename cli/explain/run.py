"""Explain one image: open, compute, draw, write."""

import json
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from cli.explain import INDEX, NETWORK, RPN
from cli.explain.explanation import Explanation, explain_scene
from cli.explain.figures import figures
from cli.explain.page import jpeg, write_explanation
from cli.explain.pictures import draw_pictures
from cli.explain.scene import open_scene
from cli.explain.settings import read_settings, schedule_of
from components.dataset.index import Index, read_index
from components.disk import check_writable, room_for
from components.errors import InputError
from components.networks.checkpoint import (
    Checkpoint,
    check_alike,
    check_parts,
    load_network,
    read_checkpoint,
)


def explain(
    image: Path,
    network: Path = NETWORK,
    rpn: Path | None = None,
    index: Path | None = None,
    output: Path = Path("explain.html"),
    pictures: Path | None = None,
) -> Explanation:
    """Write a page that shows an image's way through the network and its training.

    Args:
        image: the image file.
        network: checkpoint of step 4, or of joint training.
        rpn: checkpoint of step 1; by default `RPN`, and without it where that is absent. Joint
            training has no step 1.
        index: of the data set; by default `INDEX`, and without it where that is absent. It gives
            the ground truth of an image that it has.
        output: the page.
        pictures: folder for the pictures, as JPEG files, and ``figures.json``; none by default.

    Raises:
        InputError: a file is absent or not what it should be, a checkpoint lacks a part, or files
            do not belong together.
    """
    network, index = existing(network), given_or(index, INDEX)
    if output.is_dir():
        raise InputError(f"{output}: is a folder; give a file for the page, with --output")
    check_writable(aside(output))
    last = read_checkpoint(network)
    check_parts(last, "rpn", "detector")
    known = open_index(index, network, last.architecture.classes) if index else None
    first = open_first(rpn, last)
    scene = open_scene(image, known, last.architecture.input)
    loaded = load_network(network)
    settings = read_settings(last, first, loaded.stride)
    earlier = load_network(first.path) if first else None
    explanation = explain_scene(scene, loaded, earlier, settings)
    drawn = draw_pictures(explanation)
    with room_for(output):
        write_explanation(aside(output), explanation, drawn)
        aside(output).replace(output)
    if pictures:
        write_pictures(pictures, explanation, drawn)
    return explanation


def existing(path: Path) -> Path:
    """The path, if there is a file.

    Raises:
        InputError: there is none.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; `dvc repro` writes it, or give another one")
    return path


def given_or(path: Path | None, default: Path) -> Path | None:
    """A path that was given, which must exist, or the default one if that does."""
    if path:
        return existing(path)
    return default if default.is_file() else None


def open_first(rpn: Path | None, last: Checkpoint) -> Checkpoint | None:
    """Step 1's checkpoint for a network of step 4; None for one of joint training.

    Raises:
        InputError: it is none of this network, or one was given and there is no step 1.
    """
    if schedule_of(last) != "four_step":
        if rpn:
            raise InputError(f"{rpn}: {last.path} was trained jointly, without step 1; omit --rpn")
        return None
    if not (path := given_or(rpn, RPN)):
        return None
    first = read_checkpoint(path)
    check_parts(first, "rpn")
    check_alike(last, first)
    return first


def open_index(path: Path, network: Path, classes: tuple[str, ...]) -> Index:
    """The index of a data set of these classes.

    Raises:
        InputError: it is no index, or has other classes than the network.
    """
    index = read_index(path)
    if index.classes != classes:
        raise InputError(
            f"{path}: its classes are {list(index.classes)}, but {network} was made for "
            f"{list(classes)}; give the index of the data that it was trained on, with --index"
        )
    return index


def aside(path: Path) -> Path:
    """Where a file is written until it is whole."""
    return path.with_name(f".{path.name}.partial")


def write_pictures(
    folder: Path, explanation: Explanation, pictures: Mapping[str, Image.Image]
) -> None:
    """Write ``NAME.jpg`` for each picture, and ``figures.json``, into a folder.

    Raises:
        InputError: the disk refuses.
    """
    with room_for(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, picture in pictures.items():
            (folder / f"{name}.jpg").write_bytes(jpeg(picture))
        text = json.dumps(figures(explanation), indent=1, ensure_ascii=False)
        (folder / "figures.json").write_text(text + "\n", encoding="utf-8")
