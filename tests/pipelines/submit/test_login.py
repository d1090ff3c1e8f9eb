"""Tokens, cookies and namespaces."""

from pathlib import Path
from unittest.mock import Mock

import pytest

from cli import submit as command
from components.errors import InputError
from pipelines.submit import Connection, Outcome, Server
from tests.pipelines.kfp_server import Fault, Frame, KfpServer
from tests.pipelines.submit.calls import DONE, SECRET, connection, start, submit, watch


def test_submit_in_a_namespace(kfp: KfpServer, package: Path, tmp_path: Path) -> None:
    kfp.multi_user, kfp.tokens = True, {SECRET: {"team"}}
    token = tmp_path / "token"
    token.write_text(f"{SECRET}\n")
    assert submit(kfp, package, {"namespace": "team", "token_file": token}) == 0
    assert kfp.experiments[0].namespace == kfp.pipelines[0].namespace == "team"
    assert {r.token for r in kfp.requests} == {SECRET}


@pytest.mark.parametrize(
    ("given", "source"),
    [
        ({"FOURSTEP_KFP_TOKEN": SECRET}, "FOURSTEP_KFP_TOKEN"),
        ({"FOURSTEP_KFP_TOKEN_FILE": "token"}, "FOURSTEP_KFP_TOKEN_FILE"),
        ({"FOURSTEP_KFP_TOKEN_FILE": "token", "FOURSTEP_KFP_TOKEN": "other"}, "both"),
    ],
)
def test_the_token_comes_from_the_environment(
    kfp: KfpServer,
    given: dict[str, str],
    source: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "token").write_text(SECRET)
    monkeypatch.chdir(tmp_path)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    kfp.tokens = {SECRET: set()}
    assert watch(kfp)[0] == 0, source


def test_a_token_that_is_replaced_is_read_again(kfp: KfpServer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    kfp.tokens = {"old": set()}
    kfp.script = [Frame("RUNNING")] * 3 + [DONE]

    def rotate(_: float) -> None:
        token.write_text(SECRET)
        kfp.tokens = {SECRET: set()}

    status, lines = watch(kfp, sleep=rotate, token_file=token)
    assert status == 0
    assert not any("(401)" in line for line in lines)
    assert [r.token for r in kfp.requests][-1] == SECRET


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["cannot read the token", "No such file"]),
        ("", ["is empty"]),
        (f"{SECRET}\n{SECRET}", ["not a bearer token"]),
        ("tökén", ["cannot read the token", "not text"]),
    ],
)
def test_a_token_file_that_holds_no_token(
    kfp: KfpServer, content: str | None, words: list[str], tmp_path: Path
) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_text(content)
    with pytest.raises(InputError, match="--token-file") as caught:
        Server(connection(kfp, token_file=token))
    assert all(word in str(caught.value) for word in words)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "warned"),
    [
        ("http://kubeflow.example.org/pipeline/", True),
        ("http://192.168.1.5:8080", True),
        ("https://kubeflow.example.org", False),
        ("http://localhost:8080", False),
        ("http://127.0.0.2", False),
        ("http://[::1]:8080", False),
    ],
)
def test_a_token_over_plain_http_is_warned_of(
    host: str, warned: bool, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "Server", Mock())
    monkeypatch.setattr(command, "watch_run", Mock(return_value=Outcome(0)))
    command.watch("run-0", Connection(host))
    assert capsys.readouterr().err == ""  # no token
    monkeypatch.setenv("FOURSTEP_KFP_TOKEN", SECRET)
    command.watch("run-0", Connection(host))
    error = capsys.readouterr().err
    assert ("warning: http://" in error and "token goes over plain http" in error) == warned
    assert SECRET not in error


def test_a_token_that_is_not_accepted(
    kfp: KfpServer, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOURSTEP_KFP_TOKEN", SECRET)
    kfp.tokens = {"another": {"team"}}
    with pytest.raises(InputError, match=r"\(401\): the token of FOURSTEP_KFP_TOKEN") as caught:
        submit(kfp, package)
    assert "bad login ***" in str(caught.value)  # the server had said it
    assert SECRET not in str(caught.value)


def test_a_server_for_many_needs_a_namespace(kfp: KfpServer, package: Path) -> None:
    kfp.multi_user = True
    with pytest.raises(InputError, match="name yours with --namespace"):
        submit(kfp, package)


@pytest.mark.parametrize("namespace", ["of-others", "no-such-namespace"])
def test_a_namespace_that_is_not_ours(
    kfp: KfpServer, package: Path, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOURSTEP_KFP_TOKEN", SECRET)
    kfp.multi_user, kfp.tokens = True, {SECRET: {"team"}, "other": {"of-others"}}
    with pytest.raises(InputError, match=rf"\(403\) in the namespace '{namespace}': it does not"):
        submit(kfp, package, {"namespace": namespace})


def test_a_token_that_expires_while_watching(
    kfp: KfpServer, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    token, bundle = tmp_path / "my token", certificate[0]
    token.write_text(SECRET)
    kfp.multi_user, kfp.tokens = True, {SECRET: {"team"}}
    start(kfp, "team")
    kfp.script = [Frame("RUNNING")]

    def expire(_: float) -> None:
        kfp.tokens = {}

    status, lines = watch(kfp, sleep=expire, token_file=token, namespace="team", ca_bundle=bundle)
    text = "\n".join(lines)
    assert status == 3
    assert f"(401): the token of --token-file {token} was not accepted" in text
    assert lines[-1] == (
        f"to watch it again: fourstep watch run-0 --host {kfp.url} --namespace team "
        f"--token-file '{token}' --ca-bundle {bundle}"
    )
    assert SECRET not in text
    assert sum(r.path.endswith("/runs/run-0") for r in kfp.requests) == 3


def test_a_401_once_is_passed_over(kfp: KfpServer, tmp_path: Path) -> None:
    kfp.script = [Frame("RUNNING"), DONE]
    kfp.faults = [Fault("GET", "/runs/", "401", after=1)]
    assert watch(kfp)[0] == 0


# Cookies

COOKIE = "authservice_session=MTYx-c0okie; other=s3cond|value="


def test_a_cookie_is_sent_in_place_of_a_token(
    kfp: KfpServer, package: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    kfp.tokens = {COOKIE: set()}
    file = tmp_path / "cookie"
    file.write_text(f"{COOKIE}\n")
    assert submit(kfp, package, {"cookie_file": file}) == 0
    assert {(r.token, r.cookie) for r in kfp.requests} == {(None, COOKIE)}
    out = capsys.readouterr().out
    assert f"--cookie-file {file}" in out, "the command that watches the run needs it, too"
    assert "c0okie" not in out


def test_a_log_is_asked_for_with_the_login(kfp: KfpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOURSTEP_KFP_COOKIE", COOKIE)
    kfp.tokens = {COOKIE: set()}
    kfp.script = [Frame("FAILED", {"first": "FAILED"})]
    kfp.logs = {"": f"a stage prints {COOKIE}, and s3cond|value=\n"}
    _, lines = watch(kfp)
    assert "a stage prints ***, and ***" in [line.strip() for line in lines]
    assert [r.cookie for r in kfp.requests if r.path.endswith("/log")] == [COOKIE]


@pytest.mark.parametrize("end", ["", "_FILE"])
def test_the_cookie_comes_from_the_environment(
    kfp: KfpServer, end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cookie"
    file.write_text(COOKIE)
    monkeypatch.setenv(f"FOURSTEP_KFP_COOKIE{end}", str(file) if end else COOKIE)
    kfp.tokens = {COOKIE: set()}
    assert watch(kfp)[0] == 0


def test_an_option_comes_before_the_environment(
    kfp: KfpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOURSTEP_KFP_TOKEN", SECRET)
    file = tmp_path / "cookie"
    file.write_text(COOKIE)
    watch(kfp, cookie_file=file)
    assert {(r.token, r.cookie) for r in kfp.requests} == {(None, COOKIE)}


def test_a_token_and_a_cookie_are_one_too_many(
    kfp: KfpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "login"
    with pytest.raises(InputError, match=f"--token-file {file} and --cookie-file {file}: give one"):
        Server(connection(kfp, token_file=file, cookie_file=file))
    monkeypatch.setenv("FOURSTEP_KFP_TOKEN", SECRET)
    monkeypatch.setenv("FOURSTEP_KFP_COOKIE", COOKIE)
    with pytest.raises(InputError, match="FOURSTEP_KFP_TOKEN and FOURSTEP_KFP_COOKIE: give one"):
        Server(connection(kfp))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; put a cookie in it"),
        ("MTYxc0okie", "is not a cookie; it must be one line NAME=VALUE"),
        ("session=", "is not a cookie"),
        ("a=c0okie; b", "is not a cookie"),
        ("Cookie: a=c0okie", "is not a cookie"),
        ("a=c0okie\nb=c0okie", "is not a cookie"),
    ],
)
def test_a_cookie_file_that_holds_no_cookie(
    kfp: KfpServer, content: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "cookie"
    file.write_text(content)
    with pytest.raises(InputError, match=f"--cookie-file {file}: {message}") as caught:
        Server(connection(kfp, cookie_file=file))
    assert "c0okie" not in str(caught.value)


def test_a_cookie_that_is_not_accepted(kfp: KfpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOURSTEP_KFP_COOKIE", COOKIE)
    kfp.tokens = {}
    with pytest.raises(InputError, match=r"\(401\): the cookie of FOURSTEP_KFP_COOKIE") as caught:
        Server(connection(kfp))
    assert "bad login ***" in str(caught.value)
    assert "c0okie" not in str(caught.value)


def test_a_cookie_over_plain_http_is_warned_of(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "Server", Mock())
    monkeypatch.setattr(command, "watch_run", Mock(return_value=Outcome(0)))
    monkeypatch.setenv("FOURSTEP_KFP_COOKIE", COOKIE)
    command.watch("run-0", Connection("http://kubeflow.example.org"))
    assert "the cookie goes over plain http" in capsys.readouterr().err
