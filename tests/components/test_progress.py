import io
import re
import subprocess
import sys
from itertools import pairwise

import pytest
from tqdm import tqdm

import components.progress
from components.progress import progress

LINE = re.compile(
    r"(?P<what>[^:]+): (?P<done>\d+)/(?P<total>\d+)(?: in (?P<took>[\d:]+))?, (?P<rate>[\d.]+)/s"
    r"(?:, (?P<left>[\d:]+) left)?(?:, (?P<more>.*))?"
)
COLUMNS = ("done", "took", "rate", "left", "more")


@pytest.fixture
def clock(monkeypatch):
    """The time in seconds, which stands still."""
    now = [0.0]
    monkeypatch.setattr(components.progress, "monotonic", lambda: now[0])
    return now


def rows(text):
    """The columns of each line, all of which must be such lines."""
    found = [LINE.fullmatch(line) for line in text.splitlines()]
    assert all(found), text
    return [tuple(match[name] for name in COLUMNS) for match in found]


def test_a_log_gets_an_early_line_then_one_every_ten_seconds_and_the_last(clock, capsys):
    bar = progress(range(600), 600, "train the RPN (step 1)")
    for step in bar:
        clock[0] += 2.0 if step == 0 else 0.125
        if step % 20 == 19:
            bar.set_postfix_str(f"loss {1000 / (step + 1):.1f}")
    text = capsys.readouterr().err
    assert "\r" not in text
    assert all(line.startswith("train the RPN (step 1): ") for line in text.splitlines())
    found = rows(text)
    assert found[0] == ("1", None, "0.5", "19:58", None)
    assert found[1] == ("81", None, "8", "01:04", "loss 12.5")
    assert [int(row[0]) for row in found[1:-1]] == [81, 161, 241, 321, 401, 481, 561]
    assert found[-1] == ("600", "01:16", "7.8", None, "loss 1.7")


def test_a_resumed_loop_counts_from_where_it_was_and_its_rate_from_now(clock, capsys):
    for _ in progress(range(400, 600), 600, "train", initial=400):
        clock[0] += 2.0
    found = rows(capsys.readouterr().err)
    assert found[0] == ("401", None, "0.5", "06:38", None)
    assert [b - a for a, b in pairwise(int(row[0]) for row in found[:-1])] == [5] * (len(found) - 2)
    assert found[-1] == ("600", "06:40", "0.5", None, None)


def test_a_quick_loop_is_one_line_and_an_empty_one_none(clock, capsys):
    assert list(progress("abc", 3, "letters")) == ["a", "b", "c"]
    assert [row[0] for row in rows(capsys.readouterr().err)] == ["3"]
    assert list(progress([], 0, "nothing")) == []
    assert list(progress([], 5, "all done", initial=5)) == []
    assert capsys.readouterr().err == ""


def test_a_loop_that_is_left_says_nothing_of_an_end(clock, capsys):
    bar = progress(range(9), 9, "train")
    for step in bar:
        if step == 3:
            bar.write("train: stopped", file=sys.stderr)
            break
    assert capsys.readouterr().err == "train: stopped\n"


def test_without_a_terminal_a_line_is_there_at_once():
    """The process still waits within the loop when its line is read."""
    code = (
        "import sys, components.progress as p\n"
        "p.FIRST_S = 0.0\n"
        "for item in p.progress(range(3), 3, 'read'):\n"
        "    item and sys.stdin.readline()\n"
    )
    command = [sys.executable, "-c", code]
    pipes = dict.fromkeys(("stdin", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert [row[0] for row in rows(process.stderr.readline())] == ["1"]
        _, rest = process.communicate("\n\n")
    assert rows(rest)[-1][0] == "3"


def test_a_terminal_has_the_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    bar = progress(range(3), 3, "train")
    assert isinstance(bar, tqdm)
    assert list(bar) == [0, 1, 2]
    assert "\rtrain: 100%" in sys.stderr.getvalue()


def test_only_the_first_process_shows_it(monkeypatch, capsys):
    for name, value in (("RANK", "1"), ("LOCAL_RANK", "1"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    assert list(progress(range(3), 3, "train")) == [0, 1, 2]
    assert capsys.readouterr().err == ""
