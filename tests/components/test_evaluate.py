import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from components.dataset.index import Image, Index, write_index
from components.evaluate.curves import write_curves
from components.evaluate.pictures import SIDE, draw_picture, write_pictures
from components.evaluate.proposal_recall import ProposalRecall, recall_counts
from components.evaluate.ranking import Matched, best_median_worst, match
from components.evaluate.report import Report, write_report
from components.scoring.average_precision import ClassScore, Evaluation
from components.scoring.recall import RecallCounter
from models.parameters import InputParameters

RULE = InputParameters(short_side=32, long_side=40, scales=(32, 48))
A, B, C = [0, 0, 10, 10], [20, 0, 30, 10], [0, 20, 10, 30]


@dataclass
class Found:
    """Detections (or proposals) of an image, without torch."""

    image_id: int
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


def found(*detections: tuple[list[float], float, int], image_id: int = 1) -> Found:
    boxes = np.array([d[0] for d in detections], np.float32).reshape(-1, 4)
    scores = np.array([d[1] for d in detections], np.float32)
    return Found(image_id, boxes, scores, np.array([d[2] for d in detections], np.int64))


def image_of(*objects: tuple[list[float], int, bool], image_id: int = 1) -> Image:
    boxes = np.array([o[0] for o in objects], np.float32).reshape(-1, 4)
    labels = np.array([o[1] for o in objects], np.int32)
    crowd = np.array([o[2] for o in objects], bool)
    return Image(image_id, f"images/{image_id}.png", 40, 32, boxes, labels, crowd)


def test_matches_by_hand() -> None:
    image = image_of((A, 1, False), (B, 2, False), (C, 1, False))
    matched = match(image, found((A, 0.9, 1), (A, 0.8, 1), (B, 0.7, 1), (C, 0.4, 1)))
    # A is found once; the second is a double, B has the wrong class, C's score is too low.
    assert matched.correct.tolist() == [True, False, False]
    assert matched.found.tolist() == [True, False, False]
    assert (matched.objects, matched.missed, matched.wrong) == (3, 2, 2)
    assert matched.f1 == pytest.approx(2 * 1 / (3 + 3))


def test_a_detection_in_a_crowd_counts_neither_way() -> None:
    matched = match(image_of(([0, 0, 40, 30], 1, True), (A, 1, False)), found((B, 0.9, 1)))
    assert len(matched.boxes) == 0
    assert (matched.objects, matched.missed, matched.f1) == (1, 1, 0.0)


def test_an_image_without_objects() -> None:
    assert match(image_of(), found()).f1 == 1.0
    assert match(image_of(), found((A, 0.9, 1))).f1 == 0.0


def ranked_image(image_id: int, hits: int, objects: int = 4) -> Matched:
    places = [[20.0 * i, 0, 20 * i + 10, 10] for i in range(objects)]
    image = image_of(*((p, 1, False) for p in places), image_id=image_id)
    return match(image, found(*((p, 0.9, 1) for p in places[:hits]), image_id=image_id))


def ids(ranked: dict[str, list[Matched]]) -> dict[str, list[int]]:
    return {rank: [m.image.image_id for m in images] for rank, images in ranked.items()}


def test_ranking_breaks_ties_by_image_id() -> None:
    hits = {11: 1, 3: 4, 8: 2, 5: 4, 2: 0}
    ranked = best_median_worst([ranked_image(i, h) for i, h in hits.items()], 1)
    assert ids(ranked) == {"best": [3], "median": [8], "worst": [2]}


def test_a_small_split_shows_no_image_twice() -> None:
    images = [ranked_image(1, 4), ranked_image(2, 0), ranked_image(3, 0, objects=0)]
    assert ids(best_median_worst(images, 2)) == {"best": [1, 2], "median": [], "worst": []}
    assert ids(best_median_worst(images[2:], 2))["best"] == [3]
    assert ids(best_median_worst(images, 0)) == {"best": [], "median": [], "worst": []}


def test_proposal_recall_counts_no_further_than_there_are_proposals() -> None:
    image = image_of((A, 1, False), ([0, 0, 40, 32], 1, True))
    proposals = found((A, 0.9, 0))
    counter = RecallCounter(recall_counts(30))
    counter.add(image.boxes[~image.crowd], proposals.boxes)
    recall = ProposalRecall(recall_counts(30), {"unshared": counter.table()})
    assert recall.counts == (10, 20, 30)
    assert recall.tables["unshared"].tolist() == [[1.0] * 10] * 3
    assert recall.metrics()["unshared"]["AR_30"] == 1.0


def evaluation_of(names: list[str], value: float) -> Evaluation:
    keys = ("AP", "AP50", "AP75", "AP50_all_points", "AP50_11_point")
    figures = dict.fromkeys(keys, value)
    precision = np.where(np.arange(101) <= 50, value, 0.0)
    return Evaluation(figures, [ClassScore(name, 3, figures, precision) for name in names])


RECALL = ProposalRecall((10, 30), {"unshared": np.full((2, 10), 0.5), "shared": np.ones((2, 10))})


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_curves(tmp_path: Path) -> None:
    evaluations = {
        "shared": evaluation_of(["a,b", "c"], 0.75),
        "unshared": evaluation_of(["a,b", "c"], 1 / 3),
    }
    write_curves(tmp_path / "curves", evaluations, RECALL)
    rows = read_csv(tmp_path / "curves/precision_recall.csv")
    assert len(rows) == 2 * 2 * 101
    first = {"network": "shared", "class": "a,b", "recall": "0.0", "precision": "0.75"}
    assert rows[0] == first
    means = read_csv(tmp_path / "curves/mean_precision.csv")
    assert means[50] == {"recall": "0.5", "shared": "0.75", "unshared": "0.333333"}
    by_iou = read_csv(tmp_path / "curves/recall_iou.csv")
    assert by_iou[4] == {"iou": "0.7", "unshared": "0.5", "shared": "1.0"}
    by_count = read_csv(tmp_path / "curves/recall_count.csv")
    assert by_count[1] == {
        "proposals": "30",
        "unshared_R50": "0.5",
        "shared_R50": "1.0",
        "unshared_AR": "0.5",
        "shared_AR": "1.0",
    }


def test_pictures_show_both_kinds_of_boxes_in_their_colours() -> None:
    photo = Picture.new("RGB", (40, 32), "white")
    image = image_of(([4, 4, 12, 12], 1, False), ([24, 16, 34, 28], 2, False))
    matched = match(image, found(([4, 4, 12, 12], 0.9, 1), ([24, 4, 32, 10], 0.6, 2)))
    picture = draw_picture(photo, matched, ["cat", "dog"])
    colours = {colour for _, colour in picture.getcolors(1_000_000)}
    assert {(0, 114, 178), (155, 29, 155), (0, 121, 90), (208, 28, 0)} <= colours
    assert picture.width == SIDE


def test_a_tall_photo_is_drawn_side_by_side() -> None:
    tall = draw_picture(Picture.new("RGB", (20, 200)), match(image_of(), found()), ["cat"])
    assert tall.width > tall.height


CLASSES = ["<script>alert(1)</script>", "$x_1$ & co", "顔"]


def report_of(folder: Path) -> Path:
    (folder / "images").mkdir(parents=True)
    row = {"split": "test", "width": 40, "height": 32, "sha256": ""}
    objects = {"boxes": [A, B], "labels": [1, 3], "crowd": [False, True]}
    file = "images/<b>.png"
    rows = [row | objects | {"image_id": 1, "file": file}]
    index: Index = write_index(folder / "index.arrow", rows, CLASSES, "coco")
    Picture.new("RGB", (40, 32), "gray").save(folder / file)
    image = index.image(0)
    ranked = best_median_worst([match(image, found((A, 0.9, 1), (B, 0.7, 2)))], 3)
    pictures = write_pictures(folder / "pictures", folder, ranked, CLASSES)
    scores = evaluation_of(CLASSES[:1], 0.75), evaluation_of(CLASSES[:1], 0.5)
    write_report(
        folder / "report.html",
        Report("test", index, RULE, [image], *scores, RECALL, ranked, pictures),
    )
    return folder / "report.html"


def test_report_escapes_names_and_needs_no_other_file(tmp_path: Path) -> None:
    page = report_of(tmp_path).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "images/&lt;b&gt;.png" in page
    assert "顔" in page
    assert "+0.250" in page
    assert page.count("data:image/jpeg;base64,") == 1
    assert "http" not in page
    assert "short side 32, 48 pixels" in page
    assert "2 classes have no object in this split" in page


def test_pictures_and_report_are_the_same_bytes_again(tmp_path: Path) -> None:
    once, again = report_of(tmp_path / "once"), report_of(tmp_path / "again")
    assert once.read_bytes() == again.read_bytes()
    name = "pictures/best_1.png"
    assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert [p.name for p in (tmp_path / "once/pictures").iterdir()] == ["best_1.png"]
