"""Nothing is made twice, whatever answer gets lost."""

import itertools
from pathlib import Path

import kfp_server_api as api
import pytest

from cli import submit as command
from components.errors import InputError
from pipelines.submit import server as server_module
from tests.pipelines.kfp_server import Fault, KfpServer, Request
from tests.pipelines.submit.calls import submit


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        *itertools.product(
            ["/experiments$", "/pipelines$", "/upload_version$"],
            ["lose", "drop", "502", "503", "504", "429"],
        ),
        ("/runs$", "lose"),
        ("/runs$", "429"),
    ],
)
def test_an_answer_that_is_lost_makes_nothing_twice(
    kfp: KfpServer, package: Path, path: str, kind: str
) -> None:
    kfp.faults = [Fault("POST", path, kind)]
    assert submit(kfp, package) == 0
    made = (kfp.experiments, kfp.pipelines, kfp.versions, kfp.runs)
    assert [len(items) for items in made] == [1, 1, 1, 1]
    assert kfp.posts(path.strip("$")) == (1 if kind == "lose" else 2)


@pytest.mark.parametrize("path", ["/pipelines$", "/upload_version$", "/runs$"])
def test_what_the_server_took_and_did_not_answer_is_found(
    kfp: KfpServer, package: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "READ_S", 1.0)
    kfp.faults = [Fault("POST", path, "slow")]
    assert submit(kfp, package) == 0
    assert kfp.posts(path.strip("$")) == 1


@pytest.mark.parametrize("kind", ["slow", "drop", "502", "503", "504"])
def test_a_run_that_may_still_be_made_is_not_posted_again(
    kfp: KfpServer, package: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may be at work on it: it is neither there nor refused."""
    monkeypatch.setattr(server_module, "READ_S", 1.0)
    kfp.faults = [Fault("POST", "/runs$", kind)]
    kfp.hidden = True
    with pytest.raises(InputError, match="not certain whether the run 'mine' was made") as caught:
        submit(kfp, package, run_name="mine")
    assert f"look at {kfp.url}/#/experiments/details/exp-0 before" in str(caught.value)
    assert kfp.posts("/runs") == 1
    looks = [r for r in kfp.requests if r.method == "GET" and r.path.endswith("/runs")]
    assert len(looks) == 5


def test_a_run_that_cannot_be_looked_for_is_uncertain(kfp: KfpServer, package: Path) -> None:
    kfp.faults = [Fault("POST", "/runs$", "lose"), Fault("GET", "/runs$", "401")]
    with pytest.raises(InputError, match="not certain whether the run"):
        submit(kfp, package)
    assert (kfp.posts("/runs"), len(kfp.runs)) == (1, 1)


def test_a_run_that_appears_late_is_found(kfp: KfpServer, package: Path) -> None:
    """The connection broke while the server was still making it."""
    kfp.faults = [Fault("POST", "/runs$", "lose")]
    late: list = []

    def hide(request: Request) -> None:
        if request.method == "GET" and request.path.endswith("/runs"):
            late.append(None)
            kfp.hidden = len(late) < 3

    kfp.on_request = hide
    assert submit(kfp, package) == 0
    assert (len(late), kfp.posts("/runs"), len(kfp.runs)) == (3, 1, 1)


def test_a_server_error_is_the_servers_last_word(kfp: KfpServer, package: Path) -> None:
    kfp.faults = [Fault("POST", "/runs$", "500", times=9)]
    with pytest.raises(InputError, match="HTTP 500"):
        submit(kfp, package)
    assert kfp.posts("/runs") == 1


def test_a_run_of_the_same_name_is_not_taken_for_ours(kfp: KfpServer, package: Path) -> None:
    submit(kfp, package, run_name="mine")
    kfp.faults = [Fault("POST", "/runs$", "lose")]
    submit(kfp, package, run_name="mine")
    assert kfp.posts("/runs") == 2
    assert len({run.description for run in kfp.runs}) == 2
    kfp.faults = [Fault("POST", "/runs$", "drop")]
    with pytest.raises(InputError, match="not certain"):
        submit(kfp, package, run_name="mine")


def test_a_post_that_never_gets_through_ends(kfp: KfpServer, package: Path) -> None:
    kfp.faults = [Fault("POST", "/runs$", "429", times=99)]
    with pytest.raises(InputError, match="HTTP 429") as caught:
        submit(kfp, package)
    assert "not certain" not in str(caught.value)
    assert kfp.posts("/runs") == 4


def test_somebody_else_makes_the_pipeline_at_the_same_time(kfp: KfpServer, package: Path) -> None:
    def other(request: Request) -> None:
        if request.method == "POST" and request.path.endswith("/pipelines"):
            kfp.pipelines.append(api.V2beta1Pipeline("pipe-9", display_name="echo-twice"))

    kfp.on_request = other
    assert submit(kfp, package) == 0
    assert kfp.versions[0].pipeline_id == "pipe-9"


def test_a_look_is_repeated_while_the_server_is_away(kfp: KfpServer, package: Path) -> None:
    kfp.faults = [Fault("GET", path, "503") for path in ("experiments", "pipelines", "versions")]
    assert submit(kfp, package) == 0


def test_ctrl_c_before_the_run_is_known(
    kfp: KfpServer, package: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "create_run", interrupt)
    assert submit(kfp, package, run_name="mine") == 130
    assert "if the run 'mine' has been started, the UI lists it" in capsys.readouterr().out
