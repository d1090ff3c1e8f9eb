"""The study of schedules: what is reused, how movement is counted, what the tables say."""

import json
from dataclasses import asdict, replace

import pytest

from benchmarks.disk import ROOT
from benchmarks.study.detectors import DETECTORS
from benchmarks.study.movement import Movement, movement
from benchmarks.study.page import (
    mean_changes,
    moved_chart,
    moved_table,
    spread,
    table,
    write_study_page,
)
from benchmarks.study.result import Result, read_results, result, seconds_of
from benchmarks.study.schedules import SCHEDULES, Step
from benchmarks.study.stages import Stages, evaluation, merged
from components.networks.checkpoint import save_checkpoint
from models.faster_rcnn import Architecture, FasterRCNN
from models.parameters import AnchorParameters, InputParameters
from pipelines.yaml_file import read_yaml

SOLVER = {"iterations": 4, "lr_drops": [3]}
TRAININGS = ("train_rpn", "train_detector", "finetune_rpn", "finetune_detector", "train_joint")
OTHERS = ("validate_data", "init_backbone", "generate_proposals", "evaluate")
SECTIONS = {name: {"solver": SOLVER} for name in TRAININGS} | {name: {} for name in OTHERS}


class Written(Stages):
    """Stages that write something of their settings and inputs, and take ten seconds."""

    def run(self, use, section, inputs, folder):
        folder.mkdir(parents=True)
        content = repr((use, section, sorted(str(path) for path in inputs.values())))
        for name in ("index", "backbone", "rpn", "detector", "network", "proposals"):
            (folder / name).write_text(content)
        return 10.0


@pytest.fixture
def stages(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.study.schedules.join", lambda *paths: None)
    monkeypatch.setattr("benchmarks.study.detectors.searched", lambda run, split: run.index_path)
    return lambda: Written(tmp_path / "stages", tmp_path / "data", SECTIONS, "a test")


def ran(stages, name, variants):
    """The training stages of a schedule, and their seconds."""
    run = stages()
    trained = variants[name](run)
    return trained, [done.use for done in run.done], sum(seconds_of(run).values())


@pytest.mark.parametrize(
    ("name", "seconds", "steps"),
    [
        ("four-step", 60, ["step 1", "step 2", "step 3", "step 4"]),
        ("without step 4", 40, ["step 1", "step 2", "step 3"]),
        ("without steps 3 and 4", 30, ["step 1", "step 2"]),
        ("unshared", 30, ["step 1", "step 2"]),
        ("unshared, twice as long", 30, ["step 1", "step 2"]),
        ("joint", 10, ["joint"]),
        ("per-batch", 10, ["per_batch"]),
    ],
)
def test_a_schedules_time_is_that_of_its_own_trainings_and_proposals(stages, name, seconds, steps):
    trained, _, took = ran(stages, name, SCHEDULES)
    assert [step.name for step in trained.steps] == steps
    assert took == seconds


@pytest.mark.parametrize("name", DETECTORS)
def test_a_variants_time_is_that_of_step_1_and_of_its_own_detectors(stages, name):
    _, uses, took = ran(stages, name, DETECTORS)
    assert took == 10 * len([use for use in uses if use.startswith(("train_", "generate_"))])
    assert ("train_rpn" in uses) == (name != "selective search's proposals")
    assert uses.count("train_detector") == (2 if name.startswith("stage-wise") else 1)


def test_what_schedules_have_in_common_runs_once(stages, tmp_path):
    for name in SCHEDULES:
        ran(stages, name, SCHEDULES)
    uses = [path.name.rpartition("-")[0] for path in (tmp_path / "stages").iterdir()]
    assert {use: uses.count(use) for use in uses} == {
        "validate_data": 1,
        "init_backbone": 1,
        "train_rpn": 2,  # once twice as long
        "generate_proposals_1": 2,
        "train_detector": 2,
        "finetune_rpn": 1,
        "generate_proposals_3": 1,
        "finetune_detector": 1,
        "train_joint": 2,
    }


def test_twice_as_long_has_twice_the_iterations_and_drops(stages):
    run = stages()
    SCHEDULES["joint"](run)
    text = run.done[-1]["network"].read_text()
    assert "'iterations': 8" in text
    assert "'lr_drops': [6]" in text


def test_settings_are_replaced_in_groups_too():
    section = {"roi": {"size": 7, "operator": "pool"}, "part": "rpn"}
    changed = merged(section, {"roi": {"operator": "align"}})
    assert changed == {"roi": {"size": 7, "operator": "align"}, "part": "rpn"}
    assert section["roi"]["operator"] == "pool"


def network(*, anchors):
    architecture = Architecture(
        backbone="tiny",
        norm="frozen",
        classes=("cell",),
        input=InputParameters(short_side=64, long_side=80),
        anchors=anchors,
        roi=None,
    )
    return FasterRCNN(architecture)


def save(path, net):
    save_checkpoint(path, net.state_dict(), net.architecture, {}, {})
    return path


def test_movement_by_hand(tmp_path):
    anchors = AnchorParameters(scales=(1.0,))
    start, end = network(anchors=anchors), network(anchors=anchors)
    end.load_state_dict(start.state_dict())
    rpn = dict(end.rpn.named_parameters())
    moved, norm = next((n, p.norm().item()) for n, p in rpn.items() if n.endswith("weight"))
    rpn[moved].data.mul_(1.5)
    found = movement(Step("step 3", save(tmp_path / "a", start), save(tmp_path / "b", end)))
    assert norm > 0
    assert set(found.changes) == {name for name, value in end.named_parameters() if value.any()}
    assert found.changes.pop(f"rpn.{moved}") == pytest.approx(0.5)
    assert set(found.changes.values()) == {0.0}
    assert found.fixed == {"shared": True, "rpn": False}


def test_layers_that_started_anew_have_not_moved(tmp_path):
    start, end = network(anchors=None), network(anchors=AnchorParameters(scales=(1.0,)))
    found = movement(Step("step 1", save(tmp_path / "a", start), save(tmp_path / "b", end)))
    assert set(found.fixed) == {"shared"}
    assert all(name.startswith("shared.") for name in found.changes)


def test_a_result_that_is_kept_is_not_scored_again(stages, tmp_path, monkeypatch):
    scored = []
    monkeypatch.setattr("benchmarks.study.result.score", lambda *_: scored.append(1) or {"AP": 0.5})
    monkeypatch.setattr("benchmarks.study.result.movement", lambda step: Movement({}, {}))
    for _ in range(2):
        found = result("joint", 1, SCHEDULES["joint"], stages(), tmp_path / "results")
        assert found.scores == {"AP": 0.5}
    assert len(scored) == 1
    other = stages()
    other.sections = merged(SECTIONS, {"train_joint": {"solver": {"iterations": 5}}})
    result("joint", 1, SCHEDULES["joint"], other, tmp_path / "results")
    assert len(scored) == 2
    for count, content in ((3, "some boxes"), (3, "some boxes"), (4, "others")):
        (tmp_path / "given").write_text(content)
        result("joint", 1, on_given_proposals(tmp_path / "given"), other, tmp_path / "results")
        assert len(scored) == count


def on_given_proposals(path):
    """Joint training, tested on proposals of a file."""
    return lambda run: replace(SCHEDULES["joint"](run), proposals=path)


def test_an_evaluation_reads_no_proposals_unless_they_are_given(tmp_path):
    section = read_yaml(ROOT / "params.yaml")["evaluate"]
    assert evaluation(section, tmp_path).given_proposals is None
    found = evaluation(section, tmp_path, tmp_path / "given")
    assert (found.data, found.given_proposals) == (tmp_path, tmp_path / "given")
    assert found.detection.nms_iou == 0.3


def result_of(name, seed, score):
    moved = Movement({"shared.weight": 0.0, "rpn.weight": score}, {"shared": True, "rpn": False})
    scores = dict.fromkeys(("AP50", "AP", "AP75"), score)
    return Result(name, seed, "", scores, 10.0 * seed, {"step 3": moved})


def test_the_tables_have_mean_deviation_and_median(tmp_path):
    results = [result_of("<joint>", seed, score) for seed, score in ((1, 0.5), (2, 0.7), (4, 0.9))]
    results.append(result_of("four-step", 1, 0.25))
    cells = "0.700 ± 0.200"
    assert f"| <joint> | 3 | {cells} | {cells} | {cells} | 20 s |" in table(results)
    moved = moved_table(results)
    assert "| <joint> | step 3 | shared | 0 of 1 | 0.0000 | 0.0000 | yes |" in moved
    assert "| <joint> | step 3 | rpn | 1 of 1 | 0.7000 | 0.7000 | no |" in moved
    assert "| four-step | 1 | 0.250 | 0.250 | 0.250 | 10 s |" in table(results)
    write_study_page(tmp_path / "page.html", "schedules", results)
    page = (tmp_path / "page.html").read_text()
    assert page.count("<circle") == 2 * 4
    assert "&lt;joint&gt;" in page
    assert "<joint>" not in page


def test_the_steps_of_a_chart_have_one_order_of_weights():
    steps = {
        "step 2": Movement(
            {"detector.weight": 0.2, "shared.10.weight": 0.3, "shared.2.weight": 0.1}, {}
        ),
        "step 3": Movement({"shared.10.weight": 0, "shared.2.weight": 0, "rpn.weight": 0.4}, {}),
    }
    chart = moved_chart("four-step", [Result("four-step", 1, "", {}, 1.0, steps)])
    assert [line.points for line in chart.lines] == [
        [(1, 0.1), (2, 0.3), (4, 0.2)],
        [(1, 0), (2, 0), (3, 0.4)],
    ]


def test_results_come_back_by_name_and_seed(tmp_path):
    for name, seed in (("a", 2), ("b", 10), ("b", 9), ("gone", 1)):
        content = asdict(result_of(name, seed, 0.5))
        (tmp_path / f"{name}, seed {seed}.json").write_text(json.dumps(content, sort_keys=True))
    found = [(each.name, each.seed) for each in read_results(tmp_path, ["b", "a"])]
    assert found == [("b", 9), ("b", 10), ("a", 2)]


def test_means_over_the_seeds():
    movements = [Movement({"a.weight": v, "a.bias": 1.0}, {}) for v in (0.1, 0.3)]
    assert mean_changes(movements) == {"a.weight": pytest.approx(0.2)}
    assert spread([0.5]) == "0.500"
