"""Names from data sets, listings and files do not become paths outside of their folder."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import _validate_metric_name
from PIL import Image as Picture

from cli.predict import picture_names
from components.dataset.dvc_version import DataVersion
from components.dataset.index import read_index, write_index
from components.errors import InputError
from components.evaluate.pictures import write_pictures
from components.evaluate.ranking import best_median_worst, match
from components.fetch_data import FetchData
from components.fetch_data.run import run as fetch
from components.networks.inference import ImageDetections
from components.tracking import Run
from components.tracking.runs import valid_name
from components.validate_data.layout import check_inside

ROOT = Path(__file__).parents[2]
OUTSIDE = ["../x", "a/../../x", "/x", "..", "a/..\0"]
WINDOWS = ["..\\x", "\\x", "C:x", "C:\\x"]


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def remote_of(folder, listing):
    """A DVC remote that holds a listing, one object, and what is its version."""
    objects = {hashlib.md5(b"x").hexdigest(): b"x"}
    text = json.dumps(listing).encode()
    version = hashlib.md5(text).hexdigest() + ".dir"
    for digest, content in (objects | {version: text}).items():
        path = folder / "files/md5" / digest[:2] / digest[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return DataVersion(version)


X = hashlib.md5(b"x").hexdigest()


@pytest.mark.parametrize(
    "entry",
    [
        *({"relpath": name, "md5": X} for name in [*OUTSIDE, "", ".", 7]),
        {"relpath": "a", "md5": "../../../../secret"},
        {"relpath": "a", "md5": "/" + X[1:]},
        {"relpath": "a"},
        "a",
    ],
)
def test_a_listing_of_a_dvc_remote(entry, tmp_path):
    """The only thing here that is like an archive: names and contents from elsewhere."""
    (tmp_path / "secret").write_text("secret")
    version = remote_of(tmp_path / "store", [{"relpath": "good", "md5": X}, entry])
    before = files(tmp_path)
    stage = FetchData(
        data=tmp_path / "deep/er/data", remote=str(tmp_path / "store"), md5=version.md5
    )
    with pytest.raises(InputError, match=r"outside of its folder, or is no listing"):
        fetch(stage, Run())
    assert files(tmp_path) - before == {"deep", "deep/er", "deep/er/data"}


def test_a_link_in_a_remote_is_its_content(tmp_path):
    """What is written is a file: a link, a device or a pipe in the remote makes none here."""
    version = remote_of(tmp_path / "store", [{"md5": X, "relpath": "a"}])
    path = tmp_path / "store/files/md5" / X[:2] / X[2:]
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    stage = FetchData(data=tmp_path / "data", remote=str(tmp_path / "store"), md5=version.md5)
    fetch(stage, Run())
    assert (tmp_path / "data" / "a").read_bytes() == b"x"
    assert not (tmp_path / "data" / "a").is_symlink()


def test_nothing_here_unpacks_archives():
    code = [
        f for n in ("models", "components", "pipelines", "cli") for f in (ROOT / n).rglob("*.py")
    ]
    for word in ("tarfile", "zipfile", "unpack_archive", "extractall", "py7zr"):
        assert [str(f) for f in code if word in f.read_text()] == []


@pytest.mark.parametrize("name", [*OUTSIDE, *WINDOWS, ""])
def test_an_image_that_an_annotation_names(name):
    with pytest.raises(InputError, match="not a path inside the data folder"):
        check_inside(Path("a.json"), name)


def index_of(folder, name, classes=("a",)):
    row = {"image_id": 1, "file": name, "split": "test", "width": 40, "height": 32, "sha256": ""}
    row |= {"boxes": [[0, 0, 10, 10]], "labels": [1], "crowd": [False]}
    return write_index(folder / "index", [row], list(classes), "coco")


@pytest.mark.parametrize("name", [*OUTSIDE, *WINDOWS])
def test_an_image_that_a_forged_index_names(name, tmp_path):
    with pytest.raises(InputError, match="index: names images outside of the data folder"):
        index_of(tmp_path, name)


@pytest.mark.parametrize("name", ["a..b.png", "..a/b..png", "a/...png", "a/C:b.png", "ö 1/ü.png"])
def test_odd_names_that_stay_inside(name, tmp_path):
    index = index_of(tmp_path, name)
    assert read_index(tmp_path / "index").image(0).file == index.image(0).file == name


def test_pictures_of_evaluate_are_named_by_rank(tmp_path):
    classes = ("../../owned", "/owned")
    index = index_of(tmp_path, "a.png", classes)
    Picture.new("RGB", (40, 32)).save(tmp_path / "a.png")
    image = index.image(0)
    matched = match(image, ImageDetections(1, image.boxes, np.ones(1), image.labels))
    before = files(tmp_path)
    write_pictures(tmp_path / "out", tmp_path, best_median_worst([matched], 1), classes)
    assert files(tmp_path) - before == {"out", "out/best_1.png"}


@pytest.mark.parametrize("stem", ["..", "...", "a", ".", "..\\a", "-", "detections.json"])
def test_pictures_of_predict_are_files_of_the_output_folder(stem, tmp_path):
    given = [Path("/in", f"{stem}.png"), Path("/other", f"{stem}.jpg"), Path("/in", stem)]
    names = list(picture_names(given))
    assert len({name.lower() for name in names}) == len(given)
    for name in names:
        assert (tmp_path / name).parent == tmp_path
        assert name.endswith((".png", ".jpg"))


@pytest.mark.parametrize("name", ["../../owned", "/owned", "a/../b", "..", "a//b", "./a", "a/"])
def test_a_class_in_the_name_of_a_metric(name):
    """MLflow's file stores make a path of it; MLflow itself refuses one that leads elsewhere."""
    sent = valid_name(f"shared.AP50.{name}")
    try:
        _validate_metric_name(sent)
    except MlflowException:
        return
    folder = Path("/store/metrics")
    assert (folder / sent).resolve().is_relative_to(folder)


def test_a_stage_without_files_of_data_has_fixed_names():
    """Outputs are named by their declaration, so no artifact's name comes from a data set."""
    from components.contract import Output, load_stage, roles
    from pipelines.sections import STAGES

    for stage in STAGES:
        fields = {field.name for field in dataclasses.fields(load_stage(stage))}
        outputs = {n for n, role in roles(load_stage(stage)).items() if isinstance(role, Output)}
        assert outputs <= fields
        assert all(name.isidentifier() for name in outputs)
