"""docs/how-it-works.md and its Korean version: the same structure, figures that are the code's."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from pipelines.sections import check_params

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {"en": DOCS / "how-it-works.md", "ko": DOCS / "how-it-works.ko.md"}
EXPLAIN = DOCS / "images" / "explain"
MOST_BYTES = 150_000


def text(language):
    return PAGES[language].read_text(encoding="utf-8")


def both(pattern):
    """What a pattern finds in each version."""
    return [re.findall(pattern, text(language), re.MULTILINE) for language in PAGES]


def test_both_have_the_same_headings_pictures_code_and_rows():
    for pattern in (r"^(#+) ", r"\]\((images/[^)]+)\)", r"^    (?:\S.*)$", r"^\|.*\|$", r"^- "):
        english, korean = both(pattern)
        assert len(english) == len(korean) > 0, pattern
    for pattern in (r"\]\((images/[^)]+)\)", r"\[`\w+`\]\([^)]+\)", r"^(#+) "):
        english, korean = both(pattern)
        assert english == korean, pattern


def test_they_link_to_each_other_and_the_readme_to_both():
    assert "(how-it-works.ko.md)" in text("en").split("\n## ")[0]
    assert "(how-it-works.md)" in text("ko").split("\n## ")[0]
    readme = (DOCS.parent / "README.md").read_text()
    assert all(f"docs/{page.name}" in readme for page in PAGES.values())


def test_no_korean_particle_keeps_bold_text_from_ending():
    # In CommonMark ** does not end after punctuation if a letter follows it.
    assert not re.findall(r"[)\]*]\*\*[가-힣]", text("ko"))


@pytest.mark.parametrize("language", PAGES)
def test_linked_code_and_files_exist(language):
    for name, path in re.findall(r"\[`(\w+)`\]\(([^)]+)\)", text(language)):
        source = (DOCS / path).read_text()
        assert re.search(rf"^\s*(def|class) {name}\b", source, re.MULTILINE), (name, path)
    for path in re.findall(r"\]\(((?!http|#)[^)]+)\)", text(language)):
        assert (DOCS / path).exists(), path


def test_pictures_are_small_and_all_used():
    pictures = sorted(EXPLAIN.glob("*.jpg"))
    assert pictures
    for picture in pictures:
        assert picture.stat().st_size < MOST_BYTES
        assert f"images/explain/{picture.name}" in text("en")
        with Image.open(picture) as opened:
            assert not opened.getexif()


@pytest.mark.parametrize("language", PAGES)
def test_the_figures_are_those_that_the_command_wrote(language):
    figures = json.loads((EXPLAIN / "figures.json").read_text())
    page, example = text(language), figures["example"]
    row = " | ".join(str(n) for n in figures["labels"].values())
    assert f"| {row} |" in page
    for deltas in (example["target"], example["predicted"]):
        assert f"| {' | '.join(f'{value:+.3f}' for value in deltas)} |" in page
    for part in figures["steps"]:
        assert f"| {part['parameters']:,} |" in page
    shown = [figures["anchors"]["all"], figures["rois"]["sampled"], figures["pooled"]["gradients"]]
    assert all(re.search(rf"\b{n}(?!\d)", page) for n in shown)
    assert figures["image"].removesuffix(".jpg") in page
    assert not figures["stand_ins"]


def test_the_settings_beside_the_pictures_are_right():
    assert "train_rpn" in check_params(EXPLAIN / "params.yaml")
