"""A run that has failed is sent again, where that can help."""

from datetime import datetime
from pathlib import Path

import pytest

from components.errors import InputError
from tests.pipelines.kfp_server import Fault, Frame, KfpServer
from tests.pipelines.submit.calls import DONE, PARAMETERS, submit

FAILED = Frame("FAILED", {"first": "SUCCEEDED", "second": "FAILED"})
KILLED = (
    "second: step 200 of 600\nE0102 03:04:05.1 1 launcher_v2.go:449] Component failed to execute "
)
KILLED += "successfully: signal: killed\n"


def test_a_failed_run_is_sent_again(
    kfp: KfpServer, package: Path, capsys: pytest.CaptureFixture
) -> None:
    kfp.logs = {"": KILLED}
    kfp.scripts = {"run-0": [FAILED], "run-1": [FAILED], "run-2": [DONE]}
    assert submit(kfp, package, run_name="mine", follow=True, resubmit=3) == 0
    assert [r.display_name for r in kfp.runs] == ["mine", "mine (again 1)", "mine (again 2)"]
    assert {r.pipeline_version_reference.pipeline_version_id for r in kfp.runs} == {"version-0"}
    assert all(r.runtime_config.parameters == PARAMETERS for r in kfp.runs)
    out = capsys.readouterr().out
    assert out.count("sent again: what is done comes from the cache, a training goes on") == 2
    assert f"run 'mine (again 2)': {kfp.url}/#/runs/details/run-2" in out


def test_it_is_sent_so_often_and_not_more(kfp: KfpServer, package: Path) -> None:
    kfp.script = [FAILED]
    assert submit(kfp, package, follow=True, resubmit=2) == 1
    assert len(kfp.runs) == 3
    assert submit(kfp, package, follow=True) == 1
    assert len(kfp.runs) == 4


def test_a_run_that_a_person_ends_is_not_sent_again(
    kfp: KfpServer, package: Path, capsys: pytest.CaptureFixture
) -> None:
    kfp.script = [Frame("CANCELING"), FAILED]
    assert submit(kfp, package, follow=True, resubmit=2) == 4
    assert len(kfp.runs) == 1
    assert "not sent again: a person has ended it" in capsys.readouterr().out


def test_a_refusal_is_not_sent_again(
    kfp: KfpServer, package: Path, capsys: pytest.CaptureFixture
) -> None:
    kfp.script = [FAILED]
    kfp.logs = {"": "second: images/7.jpg: cannot be read; remove it\nError: exit status 1\n"}
    assert submit(kfp, package, follow=True, resubmit=2) == 1
    assert len(kfp.runs) == 1
    out = capsys.readouterr().out
    assert "not sent again: second refuses its input, which must be mended first" in out


def test_a_server_that_is_lost_is_sent_nothing(kfp: KfpServer, package: Path) -> None:
    kfp.script = [Frame("RUNNING")]
    kfp.faults = [Fault("GET", "/runs/", "403", times=9)]
    assert submit(kfp, package, follow=True, resubmit=2) == 3
    assert len(kfp.runs) == 1


def test_ctrl_c_sends_nothing(
    kfp: KfpServer, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kfp.script = [Frame("RUNNING")]
    monkeypatch.setattr("pipelines.submit.table.clock", _interrupt)
    assert submit(kfp, package, follow=True, resubmit=2) == 130
    assert len(kfp.runs) == 1


def _interrupt(_: datetime | None) -> str:
    raise KeyboardInterrupt


def test_a_run_whose_start_is_refused_is_not_sent_again(kfp: KfpServer, package: Path) -> None:
    kfp.refuse_run = "Invalid input error: no"
    with pytest.raises(InputError, match="the server refuses the run"):
        submit(kfp, package, follow=True, resubmit=2)
    assert kfp.posts("/runs") == 1


def test_only_a_run_that_is_watched_is_sent_again(kfp: KfpServer, package: Path) -> None:
    with pytest.raises(InputError, match=r"--resubmit 2: only a run that is watched.*add --watch"):
        submit(kfp, package, resubmit=2)
    assert not kfp.requests
