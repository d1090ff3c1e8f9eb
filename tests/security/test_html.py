"""Pages with hostile names from a data set: no tag and no attribute of theirs becomes one."""

import ast
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from components.dataset.index import read_index
from components.errors import InputError
from components.evaluate.pictures import write_pictures
from components.evaluate.proposal_recall import ProposalRecall
from components.evaluate.ranking import best_median_worst, match
from components.evaluate.report import Report, write_report
from components.generate_proposals.page import ProposalsPage, write_proposals_page
from components.networks.inference import ImageDetections
from components.scoring.average_precision import ClassScore, Evaluation
from components.scoring.recall import COUNTS, IOUS
from components.tracking import Run
from components.training.page import TrainingPage, write_training_page
from components.validate_data import ValidateData
from components.validate_data.run import run as validate
from models.faster_rcnn import Architecture
from models.parameters import AnchorParameters, InputParameters

ROOT = Path(__file__).parents[2]
CLASSES = [
    "<script>alert(1)</script>",
    "'\"><img src=x onerror=alert(1)>",
    "</title></svg></style><script>alert(1)//",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
]
FILE = '"><img src=x onerror=alert(1)>.png'
TAME = ["cat", "dog", "cow", "hen", "pig"]


class Seen(HTMLParser):
    """Counts tags and attributes, and keeps what could run or fetch something."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.names, self.addresses, self.text = Counter(), Counter(), set(), []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.names.update(name for name, _ in attrs)
        self.addresses |= {
            v for name, v in attrs if name in ("src", "href", "xlink:href", "action")
        }

    def handle_data(self, data):
        self.text.append(data)


def write_data(folder, classes, file):
    """A COCO data set; the training image has a box of each class and one that is bad."""
    names = [{"id": n, "name": name} for n, name in enumerate(classes)]
    for split in ("train", "test"):
        (folder / split).mkdir(parents=True)
        name = file if split == "train" else f"2{file}"
        seed = np.random.default_rng(len(split)).integers(0, 255, (32, 40, 3), np.uint8)
        Picture.fromarray(seed).save(folder / split / name)
        boxes = [
            {"id": n, "image_id": 1, "category_id": n, "bbox": [2, 3, 9, 8]}
            for n in range(len(classes))
        ]
        if split == "train":
            boxes.append({"id": 99, "image_id": 1, "category_id": 0, "bbox": [2, 3, 0, 8]})
        image = {"id": 1, "file_name": name, "width": 40, "height": 32}
        content = {"images": [image], "annotations": boxes, "categories": names}
        text = json.dumps(content)
        (folder / split / "_annotations.coco.json").write_text(text)


def write_pages(folder, classes, file):
    """Every page, of a data set with these names: text by page."""
    write_data(folder / "data", classes, file)
    outputs = {n: folder / n for n in ("index", "metrics", "result", "validation.html")}
    stage = {"data": folder / "data", "scratch": folder / "scratch"}
    stage |= {name.removesuffix(".html"): path for name, path in outputs.items()}
    stage["report"] = stage.pop("validation")
    with pytest.raises(InputError):
        validate(ValidateData(**stage), Run())
    (folder / "scratch" / "report.html").rename(folder / "failed.html")
    validate(ValidateData(**stage, on_bad_box="drop"), Run())
    index = read_index(folder / "index")
    evaluation_page(folder, index)
    network = Architecture(
        backbone=classes[0], norm="batch", classes=index.classes, input=InputParameters(),
        anchors=AnchorParameters(),
    )  # fmt: skip
    curve = [{"iteration": i, "lr": 0.1, "rpn_class": 1.0 / i, "loss": 1.0 / i} for i in (1, 2, 3)]
    training = TrainingPage(classes[1], network, index, curve, curve[-1])
    write_training_page(folder / "training.html", training)
    recall = np.ones((len(COUNTS), len(IOUS)))
    proposals = ProposalsPage(network, index, "train", 10, 300, recall)
    write_proposals_page(folder / "proposals.html", proposals)
    return {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.html")}


def evaluation_page(folder, index):
    image = index.image(index.rows("train")[0])
    detected = ImageDetections(1, image.boxes, np.ones(len(image.boxes)), image.labels)
    ranked = best_median_worst([match(image, detected)], 1)
    pictures = write_pictures(folder / "pictures", folder / "data", ranked, index.classes)
    keys = ("AP", "AP50", "AP75", "AP50_all_points", "AP50_11_point")
    figures = dict.fromkeys(keys, 0.5)
    scores = [ClassScore(name, 3, figures, np.full(101, 0.5)) for name in index.classes]
    both = [Evaluation(figures, scores)] * 2
    recall = ProposalRecall((10,), {"unshared": np.ones((1, 10)), "shared": np.ones((1, 10))})
    report = Report("train", index, InputParameters(), [image], *both, recall, ranked, pictures)
    write_report(folder / "evaluation.html", report)


PAGES = ("validation", "failed", "evaluation", "training", "proposals")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    return {
        "hostile": write_pages(folder / "hostile", CLASSES, FILE),
        "tame": write_pages(folder / "tame", TAME, "a1.png"),
    }


@pytest.mark.parametrize("name", PAGES)
def test_names_are_text_and_nothing_else(pages, name):
    hostile, tame = Seen(pages["hostile"][name]), Seen(pages["tame"][name])
    assert hostile.tags["script"] == hostile.tags["img"] - tame.tags["img"] == 0
    assert not [attribute for attribute in hostile.names if attribute.startswith("on")]
    # The same tags and attributes, each as often, as with names that mean nothing to a browser.
    assert hostile.tags == tame.tags
    assert hostile.names == tame.names
    assert all(address.startswith("data:image/jpeg;base64,") for address in hostile.addresses)


def test_every_page_shows_them_as_they_are(pages):
    assert set(pages["hostile"]) == set(PAGES)
    for name, page in pages["hostile"].items():
        text = "".join(Seen(page).text)
        for shown in CLASSES if name != "failed" else CLASSES[:1]:
            assert shown in text, name
    for name in ("validation", "failed", "evaluation"):
        assert FILE in "".join(Seen(pages["hostile"][name]).text)


CODE = ("models", "components", "pipelines", "cli", "benchmarks")


def test_all_templates_are_filled_with_escaping():
    made = []
    for file in (f for folder in CODE for f in (ROOT / folder).rglob("*.py")):
        text = file.read_text()
        assert "Markup" not in text, file
        by_hand = re.search(r"<(html|body|table|svg)\b", text)
        assert not by_hand or "benchmarks" in file.parts, file  # those draw their own figures
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
                ("Environment", "Template", "from_string")
            ):
                made.append((file.name, {k.arg: ast.unparse(k.value) for k in node.keywords}))
    assert [name for name, _ in made] == ["page.py"]
    assert made[0][1]["autoescape"] == "True"


TEMPLATES = [t for folder in CODE for t in sorted((ROOT / folder).rglob("*.jinja"))]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_no_template_turns_escaping_off_or_puts_values_where_it_does_not_help(template):
    text = template.read_text()
    assert not re.search(r"\|\s*safe\b|autoescape|Markup|<script|javascript:|\son\w+=", text)
    for tag in re.findall(r"<[a-z][^>]*>", text):
        for value in re.findall(r"=\s*([^\"'\s>]*\{\{)", re.sub(r"\{%.*?%\}", "", tag)):
            raise AssertionError(f"an attribute without quotes: {value} in {tag}")
    for style in re.findall(r"<style>.*?</style>", text, re.DOTALL):
        assert "{{" not in style
