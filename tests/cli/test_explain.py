"""explain: a page of one image, by the functions that train; its figures against these."""

import json
import math
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from cli.explain import RPN
from cli.explain.anchors import KINDS
from cli.explain.explanation import explain_scene
from cli.explain.figures import figures
from cli.explain.pictures import draw_pictures
from cli.explain.run import explain
from cli.explain.scene import Scene, Truth, indexed_image, open_scene, stand_ins
from cli.explain.settings import read_settings
from cli.main import app
from components.dataset.images import read_image, resize_image
from components.errors import InputError
from components.networks.checkpoint import load_network, read_checkpoint, save_checkpoint
from models.anchors import inside_image
from models.assignment import NEGATIVE, POSITIVE, assign_anchors
from models.boxes import pairwise_iou
from models.fast_rcnn import Detections, sample_rois
from models.faster_rcnn import Architecture, FasterRCNN
from models.parameters import (
    AnchorParameters,
    InputParameters,
    RoIHeadParameters,
    RoITargetParameters,
)
from models.share import Share

INPUT = InputParameters(short_side=64, long_side=80)
ANCHORS = AnchorParameters(scales=(0.5, 1.0), ratios=(1.0, 1.5))
PICTURES = [
    "anchors",
    "anchor_labels",
    "labelled_anchors",
    "anchor_target",
    "proposals",
    "rois",
    "roi_pooling",
    "roi_align",
    "detections",
]
HEADER = {
    "roi_targets.background_iou_low": 0.0,
    "roi_targets.rois_per_batch": 64,
    "solver.images_per_batch": 2,
    "solver.lr_drops": [3, 5],
}
NEEDS_TRUTH = {"anchor_labels", "labelled_anchors", "anchor_target", "rois"}


class Page(HTMLParser):
    """The addresses of a page's pictures, its tags and its text."""

    def __init__(self, path):
        super().__init__()
        self.images, self.tags, self.text = [], set(), ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "img":
            self.images.append(dict(attrs)["src"])

    def handle_data(self, data):
        self.text += data


def write_network(
    path, classes, *, anchors=ANCHORS, roi="align", sure=False, rule=INPUT, header=HEADER
):
    """An untrained checkpoint; if ``sure``, it finds class 1 everywhere."""
    torch.manual_seed(0)
    head = RoIHeadParameters(operator=roi, size=5) if roi else None
    network = FasterRCNN(
        Architecture(
            backbone="tiny", norm="batch", classes=classes, input=rule, anchors=anchors, roi=head
        )
    )
    if sure:
        network.detector.class_scores.bias.data[1] = 8.0
    save_checkpoint(path, network.state_dict(), network.architecture, header, {})
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory, demo_data, demo_index, demo_index_path):
    """Checkpoints of the demo data's classes, and an image of its training split."""
    folder = tmp_path_factory.mktemp("networks")
    classes = demo_index.classes
    row = demo_index.rows("train")[0]
    return {
        "image": demo_data / demo_index.image(row).file,
        "row": row,
        "network": write_network(folder / "network.safetensors", classes),
        "sure": write_network(folder / "sure.safetensors", classes, sure=True),
        "rpn": write_network(folder / "rpn.safetensors", classes, roi=None),
        "index": demo_index_path,
    }


@pytest.fixture(scope="module")
def explained(files, tmp_path_factory):
    """The page, the pictures and the explanation of an image of the index."""
    out = tmp_path_factory.mktemp("explained")
    given = {name: files[name] for name in ("image", "network", "rpn", "index")}
    found = explain(**given, output=out / "page.html", pictures=out / "pictures")
    return out, found


@pytest.fixture
def own(tmp_path, monkeypatch):
    """An image that no index has, in a folder without any stage's outputs."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 255, (64, 80, 3), np.uint8)
    Image.fromarray(pixels).save("own.png")
    return tmp_path / "own.png"


def test_the_page_has_every_picture_and_needs_nothing_else(explained):
    out, _ = explained
    page = Page(out / "page.html")
    assert len(page.images) == len(PICTURES)
    assert all(image.startswith("data:image/jpeg;base64,") for image in page.images)
    assert not page.tags & {"script", "link", "iframe"}
    assert str(out) not in page.text


@pytest.mark.parametrize("schedule", ["joint", "per_batch"])
def test_a_network_trained_jointly_has_no_steps(schedule, files, tmp_path, monkeypatch, demo_index):
    monkeypatch.chdir(tmp_path)
    RPN.parent.mkdir(parents=True)
    RPN.write_text("of another run")  # lies where four-step training writes it: not of this network
    header = HEADER | {"schedule": schedule, "rpn_targets.positive_iou": 0.6}
    network = write_network(tmp_path / "network", demo_index.classes, header=header)
    given = {"image": files["image"], "network": network, "index": files["index"]}
    found = explain(**given, output=tmp_path / "page.html")
    assert found.settings.rpn_targets.positive_iou == 0.6
    assert found.first is None
    assert {row["step1"] for row in figures(found)["steps"]} == {"trained"}
    text = Page(tmp_path / "page.html").text
    assert "Joint training, on " in text
    assert "step 3" not in text.lower()
    assert "Step 1" not in text
    with pytest.raises(InputError, match=r"rpn.safetensors: .*network was trained jointly"):
        explain(**given, rpn=files["rpn"], output=tmp_path / "page.html")


def test_the_pictures_are_files_too(explained):
    out, _ = explained
    names = sorted(path.name for path in (out / "pictures").iterdir())
    assert names == sorted([*(f"{name}.jpg" for name in PICTURES), "figures.json"])
    for name in PICTURES:
        with Image.open(out / "pictures" / f"{name}.jpg") as picture:
            assert max(picture.size) >= 640


def test_the_figures_are_those_of_the_page(explained):
    out, found = explained
    written = json.loads((out / "pictures" / "figures.json").read_text())
    assert written == json.loads(json.dumps(figures(found)))
    page = Page(out / "page.html").text
    assert all(f"{value:+.3f}" in page for value in written["example"]["target"])
    assert f"{written['anchors']['all']} in all" in page


def test_the_same_image_gives_the_same_bytes(explained, files, tmp_path):
    given = {name: files[name] for name in ("image", "network", "rpn", "index")}
    explain(**given, output=tmp_path / "page.html")
    assert (tmp_path / "page.html").read_bytes() == (explained[0] / "page.html").read_bytes()


def test_labels_are_those_of_assignment(explained, files, demo_index):
    _, found = explained
    anchors = load_network(files["network"]).rpn.anchors(torch.zeros(1, 1, *feature_shape(found)))
    inside = inside_image(anchors, found.scene.sizes)
    image = demo_index.image(files["row"])
    scale = found.width / image.width
    truth = torch.from_numpy(image.boxes * scale)[None].float()
    labels, _ = assign_anchors(anchors, inside, truth)
    expected = {
        "positive": int((labels == POSITIVE).sum()),
        "negative": int((labels == NEGATIVE).sum()),
        "crossing": int((~inside).sum()),
    }
    counted = figures(found)["labels"]
    assert expected.items() <= counted.items()
    assert counted["positive"] > 0
    assert sum(counted[kind] for kind in KINDS) == len(anchors)


def feature_shape(found):
    return found.anchors.rows, found.anchors.columns


def test_t_star_by_the_papers_formula(explained):
    example = explained[1].taught.example
    (x1, y1, x2, y2), (a1, b1, a2, b2) = example.truth.tolist(), example.anchor.tolist()
    wa, ha = a2 - a1, b2 - b1
    by_hand = [
        ((x1 + x2) / 2 - (a1 + a2) / 2) / wa,
        ((y1 + y2) / 2 - (b1 + b2) / 2) / ha,
        math.log((x2 - x1) / wa),
        math.log((y2 - y1) / ha),
    ]
    assert example.target.tolist() == pytest.approx(by_hand, abs=1e-5)
    iou = pairwise_iou(example.anchor[None, None], example.truth[None, None])
    assert example.iou == pytest.approx(float(iou))


def test_t_is_what_the_rpn_predicts_for_that_anchor(explained, files):
    _, found = explained
    network = load_network(files["network"])
    with torch.no_grad():
        _, deltas, anchors = network.rpn(network.features(found.scene.pixels))
    n = int((anchors == found.taught.example.anchor).all(dim=1).nonzero())
    assert torch.equal(found.taught.example.predicted, deltas[0, n])


def test_proposals_and_detections_are_the_networks_own(explained, files):
    _, found = explained
    network, first = load_network(files["network"]), load_network(files["rpn"])
    pixels, sizes, settings = found.scene.pixels, found.scene.sizes, found.settings
    with torch.no_grad():
        third = network.propose(pixels, sizes, settings.proposals)
        detected = network.detect(pixels, sizes, settings.proposals, settings.detection)
        before = first.propose(pixels, sizes, settings.proposals)
    assert torch.equal(found.own.boxes, third.boxes)
    assert torch.equal(found.first.scores, before.scores)
    assert torch.equal(found.detections.scores, detected.scores)


def test_rois_are_this_images_share_of_a_mini_batch(explained):
    _, found = explained
    targets = RoITargetParameters(rois_per_batch=64, background_iou_low=0.0)
    assert found.settings.roi_targets == targets
    assert found.settings.images_per_batch == 2
    sample = sample_rois(
        found.own.boxes,
        found.own.valid,
        found.taught.truth.boxes,
        found.taught.truth.labels,
        targets,
        torch.Generator().manual_seed(1),
        Share(0, 2),
    )
    assert len(found.taught.rois.boxes) == int(sample.sampled.sum()) <= 32
    assert found.taught.rois.foreground == int((sample.labels > 0).sum())
    rois = found.taught.rois
    assert (rois.iou[: rois.foreground] >= 0.5).all()
    assert (rois.iou[rois.foreground :] < 0.5).all()


def test_an_image_of_the_index_is_found_by_its_bytes(files, demo_index, tmp_path):
    copy = tmp_path / "renamed.png"
    copy.write_bytes(files["image"].read_bytes())
    assert indexed_image(copy, demo_index).image_id == demo_index.image(files["row"]).image_id
    scene = open_scene(copy, demo_index, INPUT)
    assert torch.equal(scene.pixels[0], resize_image(read_image(files["image"]), INPUT))


def test_an_image_without_objects_has_negatives_only(files, own, demo_index):
    scene = open_scene(own, None, INPUT)
    assert scene.truth is None
    empty = Truth(torch.zeros(1, 1, 4), torch.zeros(1, 1, dtype=torch.int64), stands_in=False)
    known = Scene(scene.name, scene.pixels, scene.sizes, empty)
    checkpoint = read_checkpoint(files["network"])
    settings = read_settings(checkpoint, None, 8)
    found = explain_scene(known, load_network(files["network"]), None, settings)
    counted = figures(found)
    assert counted["labels"]["positive"] == counted["boxes"] == counted["rois"]["foreground"] == 0
    assert counted["example"] is None
    assert "anchor_target" not in draw_pictures(found)


def test_confident_detections_stand_in_for_ground_truth_and_the_page_says_so(files, own):
    explain(own, files["sure"], output=own.parent / "page.html")
    page = Page(own.parent / "page.html")
    assert "stand in for" in page.text
    assert "ground-truth box" not in page.text
    assert "Step 1's checkpoint was not given" in page.text
    assert len(page.images) == len(PICTURES)


def test_without_a_confident_detection_what_needs_boxes_is_left_out_with_a_word(files, own):
    found = explain(own, files["network"], output=own.parent / "page.html")
    page = Page(own.parent / "page.html")
    assert found.taught is None
    assert "there is no box to teach" in page.text
    assert len(page.images) == len(PICTURES) - len(NEEDS_TRUTH)


def test_stand_ins_are_the_detections_of_half_a_point_or_more():
    boxes = torch.arange(12.0).reshape(1, 3, 4)
    scores, labels = torch.tensor([[0.9, 0.5, 0.49]]), torch.tensor([[2, 1, 1]])
    found = stand_ins(Detections(boxes, scores, labels, torch.tensor([3])))
    assert torch.equal(found.boxes, boxes[:, :2])
    assert found.labels.tolist() == [[2, 1]]
    assert found.stands_in
    assert stand_ins(Detections(boxes, scores / 2, labels, torch.tensor([3]))) is None


def test_an_own_image_is_turned_upright(own):
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.open(own).save(own.with_suffix(".jpg"), exif=turned)
    assert open_scene(own.with_suffix(".jpg"), None, INPUT).pixels.shape[2:] == (80, 64)


def test_hostile_names_stay_text(own):
    classes = ("<script>alert(1)</script>", "</style><img src=x>")
    network = write_network(own.parent / "n.safetensors", classes, sure=True)
    image = own.rename(own.parent / '"><img src=x onerror=alert(1)>.png')
    explain(image, network, output=own.parent / "page.html")
    page = Page(own.parent / "page.html")
    assert "script" not in page.tags
    assert classes[0] in page.text
    assert image.name in page.text
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.images)


@pytest.fixture
def bad(files, own):
    """What can be given wrong, by name."""
    folder = own.parent
    (folder / "text.png").write_text("no image")
    (folder / "text.safetensors").write_text("no checkpoint")
    other = ("cat", "dog")
    larger = InputParameters(short_side=96, long_side=120)
    classes = read_checkpoint(files["network"]).architecture.classes
    return {
        "no image": {"image": folder / "none.png"},
        "not an image": {"image": folder / "text.png"},
        "no network": {"network": folder / "none.safetensors"},
        "not a checkpoint": {"network": folder / "text.safetensors"},
        "no detector": {"network": files["rpn"]},
        "no rpn": {"rpn": write_network(folder / "d.safetensors", classes, anchors=None)},
        "absent rpn": {"rpn": folder / "none.safetensors"},
        "other input": {"rpn": write_network(folder / "r.safetensors", classes, rule=larger)},
        "absent index": {"index": folder / "none.arrow"},
        "not an index": {"index": folder / "text.png"},
        "other classes": {"network": write_network(folder / "o.safetensors", other)},
        "output": {"output": folder},
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no image", r"none\.png: no such file; give an image"),
        ("not an image", r"text\.png: cannot be read as an image"),
        ("no network", r"none\.safetensors: no such file; `dvc repro` writes it"),
        ("not a checkpoint", r"text\.safetensors: not a fourstep checkpoint"),
        ("no detector", r"rpn\.safetensors: this checkpoint has no detector"),
        ("no rpn", r"d\.safetensors: this checkpoint has no rpn"),
        ("absent rpn", r"none\.safetensors: no such file"),
        ("other input", r"r\.safetensors: its input is"),
        ("absent index", r"none\.arrow: no such file"),
        ("not an index", r"text\.png: not an index"),
        ("other classes", r"index\.arrow: its classes are .*but .*o\.safetensors.*'cat', 'dog'"),
        ("output", r"is a folder; give a file"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(files, own, bad, name, message):
    given = {"image": own, "network": files["network"], "index": files["index"]}
    given |= {"output": own.parent / "page.html"} | bad[name]
    with pytest.raises(InputError, match=message):
        explain(**given)
    assert not (own.parent / "page.html").exists()
    assert not list(own.parent.glob(".*.partial"))


def test_settings_of_another_version_are_an_error_that_names_them(files, own):
    classes = read_checkpoint(files["network"]).architecture.classes
    path = own.parent / "odd.safetensors"
    network = load_network(write_network(path, classes))
    odd = {"roi_targets.foreground_iou": 2.0}
    save_checkpoint(path, network.state_dict(), network.architecture, odd, {})
    with pytest.raises(InputError, match=r"odd\.safetensors: its settings 'roi_targets' .*2\.0"):
        explain(own, path, output=own.parent / "page.html")


def test_the_command(files, own):
    page = own.parent / "page.html"
    shown = CliRunner().invoke(
        app, ["explain", str(own), "--network", str(files["network"]), "--output", str(page)]
    )
    assert shown.exit_code == 0, shown.output
    assert page.exists()
