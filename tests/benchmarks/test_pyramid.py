"""The benchmark of scales: what is trained at which, and the table; no training."""

import pytest

from benchmarks.disk import ROOT
from benchmarks.pyramid import Result, enlarged, table, trainings
from pipelines.sections import check_sections
from pipelines.yaml_file import read_yaml

SECTIONS = read_yaml(ROOT / "params.yaml")


def test_one_scale_the_pyramid_and_the_largest_alone_are_trained():
    found = list(trainings(SECTIONS, (96, 128, 192), 40))
    names = ["short side 128", "a random one of 96, 128, 192", "short side 192"]
    assert [name for name, _, _ in found] == names
    inputs = [sections["init_backbone"]["input"] for _, sections, _ in found]
    assert inputs[0] == {"short_side": 128, "long_side": 160}
    assert inputs[1] == inputs[0] | {"scales": [96, 128, 192], "roi_side": 40}
    assert [scales for _, _, scales in found] == [(0,), (96, 128, 192, 0), (0,)]


def test_anchors_grow_with_the_scale_and_nothing_else_changes():
    larger = enlarged(SECTIONS, 192)
    check_sections(larger, "enlarged")
    assert larger["init_backbone"]["input"] == {"short_side": 192, "long_side": 240}
    for name in ("train_rpn", "train_joint"):
        assert larger[name]["anchors"]["scales"] == pytest.approx([1.5, 2.25, 3.3])
        assert larger[name]["solver"] == SECTIONS[name]["solver"]
    assert larger["evaluate"] == SECTIONS["evaluate"]


def test_the_table_compares_test_times_with_the_first():
    one = Result("a", "b", ap=0.5, ap50=0.75, training=60, test=20, longer=1)
    other = Result("c", "d", ap=0.6, ap50=0.8, training=90.4, test=50, longer=2.5)
    lines = table([one, other]).splitlines()
    assert lines[2] == "| a | b | 0.500 | 0.750 | 60 | 20.0 | x 1.00 |"
    assert lines[3] == "| c | d | 0.600 | 0.800 | 90 | 50.0 | x 2.50 |"
