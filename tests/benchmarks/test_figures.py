import json

import pytest

from benchmarks.plot import write_plot
from benchmarks.suite import write_json
from benchmarks.table import Row, format_table
from benchmarks.timing import interleaved, ratio, summary


def row(**changes):
    values = {"name": "a", "goal": 1, "ours": 20.0, "theirs": 10.0, "unit": "images/s"}
    return Row(**(values | {"ratio": 2.0, "spread": (1.9, 2.2), "target": 1.5} | changes))


def test_a_ratio_is_the_median_of_the_rounds_ratios_and_not_the_ratio_of_medians():
    theirs, ours = [2.0, 30.0, 4.0], [1.0, 10.0, 4.0]
    assert ratio(theirs, ours) == (2.0, 1.5, 2.5)


def test_quartiles_by_hand():
    assert summary([1.0, 2.0, 3.0, 4.0, 5.0]) == (3.0, 2.0, 4.0)
    assert summary([7.0]) == (7.0, 7.0, 7.0)


def test_contenders_take_turns_in_changing_order_and_warm_up_is_not_kept():
    calls = []

    def contender(name):
        def seconds():
            calls.append(name)
            return float(len(calls))

        return seconds

    times = interleaved({"a": contender("a"), "b": contender("b")}, budget=1e-9)
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"
    assert times == {"a": [3.0, 6.0, 7.0], "b": [4.0, 5.0, 8.0]}


@pytest.mark.parametrize(
    ("changes", "reached"),
    [
        ({}, True),
        ({"ratio": 1.4}, False),
        ({"target": None}, None),
        ({"ratio": None, "theirs": None, "ours": 7.0, "target": 10.0, "at_most": True}, True),
        ({"ratio": None, "theirs": None, "ours": 12.0, "target": 10.0, "at_most": True}, False),
    ],
)
def test_reached(changes, reached):
    assert row(**changes).reached is reached


def test_the_table_has_a_line_a_row_and_each_note_once():
    rows = [row(name="a, x", note="same"), row(name="a, y", note="same"), row(ratio=1.0)]
    lines = format_table(rows).splitlines()
    assert lines[0].split() == [
        *("goal", "what", "ours", "theirs", "unit", "ratio", "spread", "target", "reached")
    ]
    cells = "1  a, x  20  10  images/s  2  1.9 to 2.2  >= 1.5  yes"
    assert lines[2].split() == cells.split()
    assert lines[4].split()[-1] == "no"
    assert lines[5:] == ["", "a: same"]


def test_json_and_plot(tmp_path):
    rows = [row(), row(name="x < y", ratio=0.3, spread=None), row(name="plain", ratio=None)]
    rows += [row(name="memory", unit="MiB"), row(name="start-up", at_most=True)]
    write_json(tmp_path / "r.json", rows, {"cpu": "c"}, {"a": 1.0}, [])
    found = json.loads((tmp_path / "r.json").read_text())
    assert [r["reached"] for r in found["rows"]] == [True, False, True, True, False]
    assert found["rows"][0]["spread"] == [1.9, 2.2]
    write_plot(tmp_path / "r.svg", rows)
    drawn = (tmp_path / "r.svg").read_text()
    assert drawn.count("<rect") == 2
    assert "x &lt; y" in drawn
