"""Whatever is in an annotation file, the readers give tables or an InputError that names the file.

Here `CASES` cases a reader, always the same ones. More, and new ones at each run:

    FOURSTEP_FUZZ=20000 pytest tests/components/bad_data/test_reader_fuzz.py
"""

import json
import os
from functools import reduce
from xml.sax.saxutils import escape

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.errors import InputError
from components.validate_data.coco import read_coco
from components.validate_data.layout import detect
from components.validate_data.tables import BOXES, IMAGES
from components.validate_data.voc import read_voc

CASES = int(os.environ.get("FOURSTEP_FUZZ", "500"))
BETWEEN_SPLITS = ("is the name of categories", "One id must have one name in all splits")
"""Messages that name both splits' values, and may name the file that is whole."""
NAMES = {"train": "train", "test": "test"}
FUZZ = settings(
    max_examples=CASES // 2,  # each reader has two tests
    deadline=None,
    derandomize="FOURSTEP_FUZZ" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)

GOOD_COCO = {
    "info": {"year": 2026},
    "images": [{"id": 1, "file_name": "a.png", "width": 32, "height": 24}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 3.5, 10, 8], "iscrowd": 0}
    ],
    "categories": [{"id": 1, "name": "cat", "supercategory": "ä"}],
}
GOOD_VOC = (
    '<?xml version="1.0" encoding="utf-8"?><annotation><filename>a.png</filename><size>'
    "<width>32</width><height>24</height></size><object><name>cät</name><difficult>0</difficult>"
    "<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>12</xmax><ymax>11</ymax></bndbox></object>"
    "</annotation>"
)

JUNK = st.one_of(
    st.binary(max_size=4),
    st.sampled_from(
        [
            *(b"NaN", b"-Infinity", b"1e999", b"\\ud800", b"\\u0000", b"null", b"true", b'""'),
            *(b"[" * 3000, b'{"a":' * 3000, b"9" * 5000, b"\xff\xfe", b"\xef\xbb\xbf", b"\x00"),
            *(b"<!DOCTYPE a>", b"&lt;", b"&x;", b"&#0;", b"<object>", b"</size>", b"<![CDATA["),
            *(
                b'encoding="utf-16"',
                b'encoding="big5"',
                b'encoding="nonsense"',
                b"../",
                b"\n",
                b"b" * 252,
            ),
        ]
    ),
)
MUTATION = st.tuples(st.floats(0, 1), st.integers(0, 12), JUNK)


def mutated(data, mutations):
    """The data with pieces at some places (a share of its length) cut out and junk put there."""

    def mutate(data, mutation):
        place, cut, junk = mutation
        at = int(place * len(data))
        return data[:at] + junk + data[at + cut :]

    return reduce(mutate, mutations, data)


@pytest.fixture(scope="module")
def coco_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coco")
    for split in NAMES:
        (folder / f"{split}.json").write_text(json.dumps(GOOD_COCO), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def voc_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voc")
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    for split, name in (("train", "a"), ("test", "b")):
        (folder / f"ImageSets/Main/{split}.txt").write_text(f"{name}\n")
        (folder / f"Annotations/{name}.xml").write_text(GOOD_VOC, encoding="utf-8")
    return folder


def check(read, name):
    """Tables of the right columns, or an InputError that names the file; nothing else."""
    message = ""
    try:
        tables = read()
    except InputError as error:
        message = str(error)
    if message:
        assert any(text in message for text in (name, *BETWEEN_SPLITS))
        message.encode()  # it can be printed
    else:
        assert list(tables.images) == IMAGES
        assert set(tables.boxes) == set(BOXES)


def check_coco(folder, data):
    (folder / "train.json").write_bytes(data)
    check(lambda: read_coco(folder, detect(folder, NAMES), NAMES), "train.json")


def check_voc(folder, data, listing=b"a\n"):
    (folder / "Annotations/a.xml").write_bytes(data)
    (folder / "ImageSets/Main/train.txt").write_bytes(listing)
    name = "a.xml" if listing == b"a\n" else "train.txt"
    check(lambda: read_voc(folder, detect(folder, NAMES)), name)


@FUZZ
@given(st.lists(MUTATION, min_size=1, max_size=4))
def test_coco_files_with_broken_bytes(coco_folder, mutations):
    check_coco(coco_folder, mutated(json.dumps(GOOD_COCO).encode(), mutations))


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(), max_size=8),  # lone surrogates too
    st.sampled_from(
        [10**400, -(10**400), 1e308, "1", "7.0", "../a", "/a", "a" * 252, "a" * 300, "\ud800", ""]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
FIELDS = (
    "id",
    "file_name",
    "width",
    "height",
    "image_id",
    "category_id",
    "bbox",
    "iscrowd",
    "name",
)


def list_of_records(key):
    """A list like `GOOD_COCO`'s, a few fields of which have any value."""
    good = GOOD_COCO[key][0]
    changed = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=2).map(
        lambda changes: good | changes
    )
    return st.lists(st.one_of(changed, changed, VALUES), max_size=4) | VALUES


DOCUMENTS = st.fixed_dictionaries(
    {}, optional={key: list_of_records(key) for key in ("images", "annotations", "categories")}
)


@FUZZ
@given(st.one_of(DOCUMENTS, DOCUMENTS, DOCUMENTS, VALUES))
def test_coco_files_with_any_values(coco_folder, document):
    check_coco(coco_folder, json.dumps(document).encode())


@FUZZ
@given(st.lists(MUTATION, min_size=1, max_size=4), st.booleans())
def test_voc_files_with_broken_bytes(voc_folder, mutations, in_list):
    if in_list:
        listing = mutated(b"a\na\n", mutations)
        check_voc(voc_folder, GOOD_VOC.encode(), listing)
    else:
        check_voc(voc_folder, mutated(GOOD_VOC.encode(), mutations))


TAGS = ("annotation", "size", "width", "height", "filename", "object", "name", "difficult")
TAGS += ("bndbox", "xmin", "ymin", "xmax", "ymax", "part")
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["9" * 5000, "1e999", "nan", "a.png", "../a.png", "&#x0;", "1_0"]),
)


def element(tag, content):
    return f"<{tag}>{content}</{tag}>"


ELEMENTS = st.recursive(
    st.builds(element, st.sampled_from(TAGS), TEXTS.map(escape)),
    lambda inner: st.builds(
        element, st.sampled_from(TAGS), st.lists(inner, max_size=5).map("".join)
    ),
    max_leaves=15,
)
OBJECTS = st.lists(ELEMENTS, max_size=5).map(lambda parts: element("object", "".join(parts)))


@FUZZ
@given(st.lists(OBJECTS | ELEMENTS, max_size=4))
def test_voc_files_with_any_elements(voc_folder, elements):
    check_voc(voc_folder, element("annotation", "".join(elements)).encode())
