"""Each kind of bad data ends as the corpus says: handled, dropped and listed, refused by name."""

import json
import pickle
import re

import pandas as pd
import pytest
import torch
from jinja2 import Environment

from components.dataset.images import read_image
from components.dataset.index import read_index
from components.errors import InputError
from components.pages import page as pages
from components.validate_data import ValidateData
from components.validate_data.expectations import Outcome, Validator
from components.validate_data.run import run
from tests.components.bad_data.corpus import CASES, DROPPED, HANDLED, REFUSED
from tests.components.bad_data.data_sets import CORNERS
from tests.components.bad_data.page import PAGE, page

OUTPUTS = ("index", "metrics", "result", "report", "scratch")


class NoTracking:
    def tags(self, values):
        pass


def test_there_are_at_least_80_kinds_and_no_two_are_one():
    assert len({case.name for case in CASES}) >= 80
    assert len({(case.name, case.ending) for case in CASES}) == len(CASES)


def test_the_page_is_the_corpus():
    message = "docs/data.md is not the corpus: run python -m tests.components.bad_data.page"
    assert PAGE.read_text(encoding="utf-8") == page(), message


@pytest.fixture(scope="module")
def known():
    return {}


def key(check, table):
    """What a check's outcome depends on: its name and the columns that it looks at."""
    of = check.expectation
    names = ("column", "column_A", "column_B")
    columns = [getattr(of, name) for name in names if hasattr(of, name)]
    columns += getattr(of, "column_list", [])
    return pickle.dumps((check.name, [table[column].tolist() for column in columns]))


@pytest.fixture(autouse=True)
def checked_once(known, monkeypatch):
    """Most columns are the same in all cases: Great Expectations sees equal ones once."""
    begin, whole = Validator.__init__, Validator.run

    def run_checks(self, name, parts, checks):
        table = pd.concat(list(parts))
        keys = [key(check, table) for check in checks]
        new = [check for check, k in zip(checks, keys, strict=True) if k not in known]
        if new:
            begin(self)
            for outcome in whole(self, name, [table], new):
                known[key(outcome.check, table)] = outcome.offending["row"].tolist()
        return [
            Outcome(check, len(table), table[table["row"].isin(known[k])])
            for check, k in zip(checks, keys, strict=True)
        ]

    monkeypatch.setattr(Validator, "__init__", lambda self: None)
    monkeypatch.setattr(Validator, "run", run_checks)


@pytest.fixture(scope="module")
def environments():
    return []


@pytest.fixture(autouse=True)
def compiled_once(environments, monkeypatch):
    """The report's template is the same in all cases."""

    def environment(**options):
        if not environments:
            environments.append(Environment(**options))
        return environments[0]

    monkeypatch.setattr(pages, "Environment", environment)


@pytest.fixture
def stage(tmp_path):
    def make(ending):
        paths = {name: tmp_path / "out" / name for name in OUTPUTS}
        (tmp_path / "out").mkdir()
        on_bad_box = "drop" if ending == DROPPED else "fail"
        return ValidateData(data=tmp_path / "data", **paths, on_bad_box=on_bad_box)

    return make


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}: {case.ending}")
def test_bad_data(case, stage, tmp_path, capsys):
    data = case.layout(tmp_path / "data")
    case.spoil(data)
    data.write()
    one = stage(case.ending)
    {HANDLED: handled, DROPPED: dropped, REFUSED: refused}[case.ending](case, one, capsys)


def handled(case, stage, capsys):
    run(stage, NoTracking())
    printed = capsys.readouterr().out
    assert re.search(case.says, printed), printed
    if not case.says:
        named = set(re.findall(r"warning: ([^(]*)", printed))
        assert named == {"each class has at least 10 boxes in train "}, (
            "a case with nothing to tell"
        )
    check_index(stage, case.boxes)
    assert json.loads(stage.result.read_text())["dropped_boxes"] == []


def dropped(case, stage, capsys):
    run(stage, NoTracking())
    (row,) = json.loads(stage.result.read_text())["dropped_boxes"]
    assert re.search(case.says, f"{row['value']} not {row['failed']}"), row
    assert row["box"] in ("3", "a:2")
    assert "dropped boxes: 1" in capsys.readouterr().out
    check_index(stage, {})


def refused(case, stage, capsys):
    with pytest.raises(InputError) as caught:
        run(stage, NoTracking())
    assert re.search(case.says, str(caught.value)), str(caught.value)
    str(caught.value).encode()  # it can be printed
    assert not any(getattr(stage, name).exists() for name in OUTPUTS[:-1])


def check_index(stage, boxes):
    """All images are there with their boxes, and training's decoder reads them at their size."""
    index = read_index(stage.index)
    images = [index.image(row) for split in ("train", "test") for row in index.rows(split)]
    assert set(boxes) <= {image.file for image in images}
    for image in images:
        expected = torch.tensor(boxes.get(image.file, [CORNERS])).reshape(-1, 4)
        assert torch.equal(torch.tensor(image.boxes), expected.float()), image.file
        picture = read_image(stage.data / image.file)
        assert picture.dtype == torch.uint8
        assert picture.shape == (3, image.height, image.width)
