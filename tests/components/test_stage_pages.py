"""The pages of the trainings and of the proposals."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from components.dataset.index import Index, write_index
from components.generate_proposals.page import ProposalsPage, write_proposals_page
from components.pages.split import SplitCounts, split_counts
from components.scoring.recall import COUNTS, IOUS
from components.training.page import (
    POINTS,
    TrainingPage,
    figures,
    table_rows,
    thinned,
    write_training_page,
)
from models.faster_rcnn import Architecture
from models.parameters import AnchorParameters, InputParameters, RoIHeadParameters

CLASSES = ("<script>alert(1)</script>", "顔 & co")
NETWORK = Architecture(
    backbone="tiny",
    norm="batch",
    classes=CLASSES,
    input=InputParameters(),
    anchors=AnchorParameters(),
)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """Two training images, one without objects, and a test image."""
    rows = []
    for image_id, (split, crowd) in enumerate(
        (("train", [False, True, False]), ("train", []), ("test", [False]))
    ):
        row = {"image_id": image_id, "file": f"{image_id}.png", "split": split, "sha256": ""}
        row |= {"width": 40, "height": 32, "boxes": [[0, 0, 10, 10]] * len(crowd)}
        rows.append(row | {"labels": [1] * len(crowd), "crowd": crowd})
    return write_index(tmp_path / "index.arrow", rows, list(CLASSES), "coco")


def curve_of(rows: int, every: int = 20) -> list[dict[str, float]]:
    iterations = [every * (n + 1) for n in range(rows)]
    return [
        {"iteration": i, "lr": 0.001, "rpn_class": 60 / i, "rpn_box": 6 / i, "loss": 66 / i}
        for i in iterations
    ]


class Tags(HTMLParser):
    """All tags must be closed in order; remembers their names and attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check_self_contained(page: str) -> None:
    tags = Tags(page)
    assert not tags.names & {"script", "link", "img", "iframe", "object"}
    assert not tags.attributes & {"src", "href", "onload"}
    assert "http" not in page
    assert "url(" not in page
    assert "nan" not in page.lower()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;, 顔 &amp; co" in page
    assert len(page.encode()) < 100_000


def training_page(path: Path, index: Index, rows: int) -> str:
    curve = curve_of(rows)
    metrics = curve[-1] | {"target_std_w": 0.25}
    training = TrainingPage("Step 1: train <b> RPN", NETWORK, index, curve, metrics)
    write_training_page(path, training)
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("rows", [1, 2, 4000])
def test_a_training_page_needs_no_other_file_and_stays_small(
    rows: int, index: Index, tmp_path: Path
) -> None:
    page = training_page(tmp_path / "page.html", index, rows)
    check_self_contained(page)
    assert "Step 1: train &lt;b&gt; RPN" in page
    assert "2 images, 2 objects and 1 crowd or difficult boxes" in page
    assert re.findall(r"<title>(\w+|learning rate)</title></polyline>", page) == [
        "rpn_class",
        "rpn_box",
        "loss",
        "learning rate",
    ]
    assert page.count("<tr>") <= 20
    assert page == training_page(tmp_path / "again.html", index, rows)


def test_a_long_curve_is_thinned_to_means_of_neighbours() -> None:
    assert thinned(curve_of(POINTS)) == curve_of(POINTS)
    curve = curve_of(POINTS + 1)
    drawn = thinned(curve)
    assert len(drawn) == POINTS // 2 + 1
    assert drawn[0]["iteration"] == 40
    assert drawn[0]["loss"] == pytest.approx((66 / 20 + 66 / 40) / 2)
    assert drawn[-1] == curve[-1]


def test_the_table_has_both_ends_of_the_curve() -> None:
    rows = [row["iteration"] for row in table_rows(curve_of(100, every=1))]
    assert rows == [1, 10, 19, 28, 37, 46, 55, 64, 73, 82, 91, 100]
    assert table_rows(curve_of(1)) == curve_of(1)
    assert table_rows(curve_of(3)) == curve_of(3)


def test_figures_say_what_they_mean() -> None:
    shown = figures({"iteration": 80000, "lr": 1e-5, "target_mean_x": 0.0123456, "new": 2.0})
    assert [(f["value"], bool(f["meaning"])) for f in shown] == [
        ("80000", True),
        ("1e-05", True),
        ("0.01235", True),
        ("2", False),
    ]


def test_counts_of_a_split(index: Index) -> None:
    assert split_counts(index, "train") == SplitCounts(images=2, objects=2, crowd=1)
    assert split_counts(index, "test") == SplitCounts(images=1, objects=1, crowd=0)


def proposals_page(path: Path, index: Index, recall: np.ndarray, **changes: object) -> str:
    given = {"architecture": NETWORK, "split": "train", "proposals": 500, "most": 300} | changes
    write_proposals_page(path, ProposalsPage(index=index, recall=recall, **given))
    return path.read_text(encoding="utf-8")


def test_a_proposals_page_shows_recall_up_to_the_most_proposals(
    index: Index, tmp_path: Path
) -> None:
    recall = np.linspace(1, 0.5, len(IOUS)) * np.array([0.5, 0.6, 0.8, 0.8, 0.8])[:, None]
    page = proposals_page(tmp_path / "page.html", index, recall)
    check_self_contained(page)
    assert "<b>250.0</b><strong>proposals" in page
    assert re.findall(r"<title>(\d+) proposals</title></polyline>", page) == ["50", "100", "300"]
    assert "<b>0.800</b><strong>recall" in page
    assert "<b>0.600</b><strong>mean recall" in page
    assert "step 1" in page
    assert page == proposals_page(tmp_path / "again.html", index, recall)


def test_fewer_proposals_than_the_least_count(index: Index, tmp_path: Path) -> None:
    page = proposals_page(tmp_path / "page.html", index, np.ones((len(COUNTS), 10)), most=20)
    check_self_contained(page)
    assert "20 proposals</title>" in page


def test_shared_convs_make_it_step_3(index: Index, tmp_path: Path) -> None:
    both = replace(NETWORK, roi=RoIHeadParameters())
    recall = np.ones((len(COUNTS), len(IOUS)))
    page = proposals_page(tmp_path / "page.html", index, recall, architecture=both)
    assert "<h1>Proposals of the RPN, step 3</h1>" in page


def test_no_object_no_recall(index: Index, tmp_path: Path) -> None:
    page = proposals_page(tmp_path / "page.html", index, np.full((len(COUNTS), 10), np.nan))
    check_self_contained(page)
    assert "no object" in page
    assert "<polyline" not in page
