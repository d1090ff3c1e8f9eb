"""`fourstep submit` and `fourstep watch`, against a local server of the KFP v2beta1 API."""

import itertools
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import kfp_server_api as api
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kfp import compiler, dsl

from cli import submit as command
from components.errors import InputError
from pipelines.submit import Connection, Server, watch_run
from pipelines.submit import server as server_module
from pipelines.submit import watch as watch_module
from pipelines.submit.tasks import read_tasks, task_names
from tests.pipelines.kfp_server import Fault, Frame, KfpServer, Request, serve

SECRET = "s3cret-token.abc"
PARAMETERS = {"train_rpn": {"solver": {"lr": 0.002}}, "data_version": "4fe5.dir"}
DONE = Frame("SUCCEEDED", {"first": "SUCCEEDED", "second": "SUCCEEDED"})


@dsl.container_component
def first(text: str):
    return dsl.ContainerSpec(image="busybox:1.37", command=["echo"], args=[text])


@dsl.container_component
def second():
    return dsl.ContainerSpec(image="busybox:1.37", command=["echo"])


@dsl.pipeline(name="echo-twice")
def echo_twice(train_rpn: dict, data_version: str, epochs: int = 3, shared: bool = True):
    before = first(text=data_version)
    with dsl.If(epochs > 2):
        second().after(before)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("package") / "pipeline.yaml"
    compiler.Compiler().compile(echo_twice, str(path))
    return path


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No token, a home of one's own, and traps for what must not be used."""
    for name in ("FOURSTEP_KFP_TOKEN", "FOURSTEP_KFP_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "KF_PIPELINES_ENDPOINT"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    return home


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "PAUSE_S", 0.01)
    monkeypatch.setattr(watch_module, "POLL_S", 0.03)


@pytest.fixture
def kfp() -> Iterator[KfpServer]:
    with serve() as server:
        yield server


def connection(kfp: KfpServer, **changes: Any) -> Connection:
    return replace(Connection(kfp.url), **changes)


def submit(kfp: KfpServer, package: Path, changes: dict | None = None, **options: Any) -> int:
    options = {"version": "v-4fe5", "parameters": PARAMETERS} | options
    return command.submit(package, connection(kfp, **(changes or {})), **options)


def watch(
    kfp: KfpServer, sleep: Callable[[float], None] = lambda _: None, **changes: Any
) -> tuple[int, list[str]]:
    """Follow run-0, which is started first if there is none; exit status and lines."""
    if not kfp.runs:
        start(kfp)
    lines: list[str] = []
    server = Server(connection(kfp, **changes), sleep=sleep)
    return watch_run(server, "run-0", lines.append), lines


def start(kfp: KfpServer, namespace: str | None = None) -> None:
    """A run without the client's help."""
    kfp.add_experiment("Default", namespace)
    spec = {
        "components": {"comp-1": {"executorLabel": "e"}},
        "root": {
            "dag": {"tasks": {n: {"componentRef": {"name": "comp-1"}} for n in ("first", "second")}}
        },
    }
    version = api.V2beta1PipelineVersion(
        pipeline_id="pipe-0", pipeline_version_id="version-0", pipeline_spec=spec
    )
    kfp.versions.append(version)
    reference = api.V2beta1PipelineVersionReference("pipe-0", "version-0")
    kfp.runs.append(
        api.V2beta1Run(experiment_id="exp-0", run_id="run-0", pipeline_version_reference=reference)
    )


# Submitting


def test_submit_uploads_starts_and_prints_the_link(
    kfp: KfpServer, package: Path, capsys: pytest.CaptureFixture, clean_environment: Path
) -> None:
    kfp.add_experiment("Tuning")
    status = submit(kfp, package, experiment="Tuning", run_name="mine", service_account="trainer")
    out = capsys.readouterr().out
    assert status == 0
    assert "version v-4fe5 uploaded" in out
    assert f"run 'mine': {kfp.url}/#/runs/details/run-0" in out
    assert f"fourstep watch run-0 --host {kfp.url}" in out
    (run,) = kfp.runs
    assert run.display_name == "mine"
    assert run.experiment_id == "exp-0"
    assert run.service_account == "trainer"
    assert run.runtime_config.parameters == PARAMETERS
    (uploaded,) = [r for r in kfp.requests if r.path.endswith("upload_version")]
    assert uploaded.body == package.read_bytes()
    assert not list(clean_environment.iterdir())  # no ~/.config/kfp


def test_a_version_that_is_there_is_used_again(
    kfp: KfpServer, package: Path, capsys: pytest.CaptureFixture
) -> None:
    for _ in range(2):
        submit(kfp, package)
    submit(kfp, package, version="v-other")
    assert "version v-4fe5 was there already" in capsys.readouterr().out
    assert kfp.posts("/upload_version") == 2
    assert kfp.posts("/pipelines") == 1
    used = [r.pipeline_version_reference.pipeline_version_id for r in kfp.runs]
    assert used == ["version-0", "version-0", "version-1"]


def test_what_is_looked_for_is_found_on_a_later_page(kfp: KfpServer, package: Path) -> None:
    for name in ("a", "b", "c", "Default", "d"):
        kfp.add_experiment(name)
    submit(kfp, package)
    assert kfp.runs[0].experiment_id == "exp-3"
    assert len(kfp.experiments) == 5


def test_the_default_experiment_is_made_if_it_is_missing(kfp: KfpServer, package: Path) -> None:
    submit(kfp, package)
    submit(kfp, package)
    assert [e.display_name for e in kfp.experiments] == ["Default"]


def test_a_server_for_one_user_is_sent_no_namespace(kfp: KfpServer, package: Path) -> None:
    assert submit(kfp, package, {"namespace": "team"}) == 0
    assert not any("namespace" in r.query for r in kfp.requests)


def test_the_ui_may_have_another_address(
    kfp: KfpServer, package: Path, capsys: pytest.CaptureFixture
) -> None:
    submit(kfp, package, {"ui": "https://ui.example.org/pipeline/"})
    assert "https://ui.example.org/pipeline/#/runs/details/run-0" in capsys.readouterr().out


# Several users


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
        (f"{SECRET}\n{SECRET}", ["no bearer token"]),
        ("tökén", ["cannot read the token", "no text"]),
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


# What the user can do wrong, or finds wrong


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("localhost:8080", ["--host localhost:8080", "scheme", "http://localhost:8080"]),
        ("kubeflow.example.org", ["scheme"]),
        ("ftp://kubeflow", ["scheme"]),
        ("https://", ["scheme"]),
        ("https://me:s3cret-token.abc@kubeflow", ["no user or password", "@kubeflow"]),
        ("me:s3cret-token.abc@kubeflow", ["scheme"]),
        ("http://k/pipeline/#/runs", ["before '?' and '#'", "http://k/pipeline"]),
        ("http://k:99999", ["port"]),
    ],
)
def test_a_host_that_is_no_url(host: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        Server(Connection(host))
    assert all(word in str(caught.value) for word in words)
    assert SECRET not in str(caught.value)


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(
        InputError, match=rf"{url}: no connection \(Connection refused\); check --host"
    ):
        Server(Connection(url))


def test_an_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(InputError, match=r"http://no\.example: no host of this name"):
        Server(Connection("http://no.example"))


def test_no_connection_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(socket.socket):
        def connect(self, _: object) -> None:
            raise TimeoutError

    monkeypatch.setattr(socket, "socket", Silent)
    with pytest.raises(InputError, match="no connection within the time"):
        Server(Connection("http://127.0.0.1:9"))


def test_a_server_that_never_answers(kfp: KfpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "READ_S", 0.2)
    kfp.faults = [Fault("GET", "healthz", "slow")]
    with pytest.raises(InputError, match=r"no answer within 0\.2 s"):
        Server(connection(kfp))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("GET", "healthz", "html"), ["not of the Kubeflow Pipelines API", "/pipeline"]),
        (Fault("GET", "healthz", "html", body=b"[1]"), ["not of the Kubeflow Pipelines API"]),
        (Fault("GET", "healthz", "html", body=b"\xff\xfe"), ["not of the Kubeflow Pipelines"]),
        (Fault("GET", "healthz", "404"), ["not of the Kubeflow Pipelines API"]),
        (Fault("GET", "healthz", "login"), ["https://sso.example.org/auth (302)", "token"]),
        (Fault("GET", "healthz", "401"), ["(401)", "no token was given", "--token-file"]),
        (
            Fault("GET", "healthz", "500", body=b'{"error": "Unauthenticated: no header"}'),
            ["(401)", "--token-file", "Unauthenticated: no header"],
        ),
        (Fault("GET", "healthz", "503"), ["HTTP 503", "Service Unavailable"]),
        (Fault("GET", "healthz", "drop"), ["the connection broke"]),
        (Fault("GET", "experiments", "html"), ["not of the Kubeflow Pipelines API"]),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_a_server_that_is_no_kfp_or_sick(
    kfp: KfpServer, package: Path, fault: Fault, words: list[str]
) -> None:
    kfp.faults = [fault]
    with pytest.raises(InputError) as caught:
        submit(kfp, package)
    assert all(word in str(caught.value) for word in words)
    assert "s3cret" not in str(caught.value)  # of the redirect's query
    assert not kfp.runs


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    form = serialization
    paths[0].write_bytes(made.public_bytes(form.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            form.Encoding.PEM, form.PrivateFormat.TraditionalOpenSSL, form.NoEncryption()
        )
    )
    return paths


def test_tls(package: Path, certificate: tuple[Path, Path], tmp_path: Path) -> None:
    bundle, key = certificate
    with serve(bundle, key) as kfp:
        with pytest.raises(InputError, match=r"certificate cannot be verified.*--ca-bundle"):
            submit(kfp, package)
        assert submit(kfp, package, {"ca_bundle": bundle}) == 0
        with pytest.raises(InputError, match=f"{key}: cannot be used"):
            submit(kfp, package, {"ca_bundle": key})
        with pytest.raises(InputError, match="No such file"):
            submit(kfp, package, {"ca_bundle": tmp_path / "none.pem"})


def test_https_to_a_port_without_tls(kfp: KfpServer) -> None:
    with pytest.raises(InputError, match=r"does not speak TLS on this port; try http://"):
        Server(Connection(kfp.url.replace("http://", "https://")))


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
    monkeypatch.setattr(command, "watch_run", Mock(return_value=0))
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
    assert "bad token ***" in str(caught.value)  # the server had said it
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


def test_an_unknown_experiment(kfp: KfpServer, package: Path) -> None:
    kfp.add_experiment("Default")
    kfp.add_experiment("Old", state="ARCHIVED")
    kfp.add_experiment("Tuning")  # on the second page
    with pytest.raises(InputError, match="no experiment 'tunning'; did you mean") as caught:
        submit(kfp, package, experiment="tunning")
    assert "did you mean 'Tuning'?" in str(caught.value)
    with pytest.raises(InputError, match="no experiment 'xyz'; known are Default, Tuning"):
        submit(kfp, package, experiment="xyz")
    with pytest.raises(InputError, match="'Old' is archived"):
        submit(kfp, package, experiment="Old")
    assert kfp.posts("") == 0


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"data_versoin": "x"}, ["no parameter 'data_versoin'", "did you mean 'data_version'"]),
        ({"zzz": 1}, ["no parameter 'zzz'", "data_version, epochs, shared, train_rpn"]),
    ],
)
def test_a_parameter_that_the_pipeline_does_not_have(
    kfp: KfpServer, package: Path, parameters: dict, words: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        submit(kfp, package, parameters=parameters)
    assert all(word in str(caught.value) for word in [str(package), *words])
    assert not kfp.requests


def test_a_parameter_that_the_server_refuses(kfp: KfpServer, package: Path) -> None:
    """The version of that name on the server was made from another pipeline."""
    submit(kfp, package)
    kfp.versions[0].pipeline_spec["root"]["inputDefinitions"]["parameters"].pop("train_rpn")
    with pytest.raises(InputError, match=r"refuses the run.*400: .*parameter train_rpn is not"):
        submit(kfp, package)
    assert kfp.posts("/runs") == 2


def test_a_pipeline_that_the_server_refuses(kfp: KfpServer, package: Path) -> None:
    kfp.refuse_package = "Failed to create a pipeline version: Invalid input error: no root"
    with pytest.raises(InputError, match=f"{package}: the server refuses.*no root") as caught:
        submit(kfp, package)
    assert "stack trace" not in str(caught.value)
    assert kfp.posts("/upload_version") == 1


def test_a_version_that_holds_an_error(kfp: KfpServer, package: Path) -> None:
    submit(kfp, package)
    kfp.versions[0].error = api.GoogleRpcStatus(code=3, message="cannot be compiled")
    with pytest.raises(InputError, match="cannot use version v-4fe5: cannot be compiled"):
        submit(kfp, package)


def test_two_pipelines_of_one_name(kfp: KfpServer, package: Path) -> None:
    submit(kfp, package)
    kfp.pipelines.append(api.V2beta1Pipeline("pipe-1", display_name="echo-twice"))
    with pytest.raises(InputError, match="2 pipelines have the name 'echo-twice'"):
        submit(kfp, package)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.yaml", "a: 1", "no compiled pipeline"),
        ("x.yaml", "a: [", "is no YAML"),
        ("x.yaml", "", "is empty"),
        ("x.yaml", "pipelineInfo: {}\nroot: {}", "has no name"),
        ("x.yaml", "pipelineInfo: {name: x}\nroot:", "no compiled pipeline: no root"),
        ("x.yaml", None, "cannot be read"),
        ("x.txt", "a: 1", r"ends in \.yaml"),
    ],
)
def test_a_file_that_is_no_pipeline(
    kfp: KfpServer, tmp_path: Path, name: str, content: str | None, words: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=f"{path}: .*{words}"):
        submit(kfp, path)


# Nothing is made twice


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


# Watching


def test_submit_and_watch(kfp: KfpServer, package: Path, capsys: pytest.CaptureFixture) -> None:
    kfp.script = [
        Frame("PENDING"),
        Frame("RUNNING", {"first": "PENDING"}),
        Frame("RUNNING", {"first": "RUNNING"}),
        Frame("RUNNING", {"first": "RUNNING"}),
        Frame("RUNNING", {"first": "SUCCEEDED", "condition-1": "RUNNING", "second": "RUNNING"}),
        Frame("SUCCEEDED", {"first": "SUCCEEDED", "second": "SUCCEEDED"}),
    ]
    assert submit(kfp, package, follow=True) == 0
    lines = capsys.readouterr().out.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("time"))
    table = [line.split(maxsplit=1)[1] for line in lines[begin:-2]]
    assert [" ".join(line.split()) for line in table] == [
        "task state",
        "(run) PENDING",
        "(run) RUNNING",
        "first PENDING",
        "first RUNNING",
        "first SUCCEEDED 1 min 23 s",
        "second RUNNING",
        "second SUCCEEDED 1 min 23 s",
    ]
    assert lines[-2:] == ["run SUCCEEDED (2 SUCCEEDED)", f"{kfp.url}/#/runs/details/run-0"]


@pytest.mark.parametrize(
    ("state", "status"), [("SUCCEEDED", 0), ("FAILED", 1), ("CANCELED", 1), ("SKIPPED", 1)]
)
def test_the_exit_status_is_the_runs(kfp: KfpServer, state: str, status: int) -> None:
    unspecified = Frame("RUNTIME_STATE_UNSPECIFIED")
    kfp.script = [unspecified, Frame("RUNNING"), Frame("CANCELING"), Frame("PAUSED"), Frame(state)]
    ended, lines = watch(kfp)
    assert ended == status
    assert f"run {state} (2 not run)" in lines
    assert [line.split()[-1] for line in lines[1:-2]] == ["RUNNING", "CANCELING", "PAUSED"]


def test_a_failed_task_as_the_server_reports_it_today(kfp: KfpServer) -> None:
    kfp.script = [Frame("FAILED", {"first": "SUCCEEDED", "second": "FAILED"}, error="child failed")]
    status, lines = watch(kfp, namespace="team")
    text = "\n".join(lines)
    assert status == 1
    assert "the server gives no reason" in text
    assert (
        "kubectl get pods -n team -l pipeline/runid=run-0 --field-selector=status.phase=Failed"
    ) in text
    assert "kubectl logs -n team POD -c main" in text
    assert "error: child failed" in text
    assert "run FAILED (1 SUCCEEDED, 1 FAILED)" in text


def test_a_failed_task_of_a_server_that_says_more(kfp: KfpServer) -> None:
    kfp.linked = True
    kfp.task_error = "main: \x1b[31mOOMKilled\n(exit code 137)"
    kfp.script = [Frame("FAILED", {"first": "CACHED", "second": "FAILED"})]
    _, lines = watch(kfp)
    text = "\n".join(lines)
    assert "first   CACHED" in text
    assert "error: main: [31mOOMKilled (exit code 137)" in text  # no escape to the terminal
    assert "pod: echo-twice-x7k2p-system-container-impl-" in text
    assert "log: kubectl logs -n kubeflow echo-twice-x7k2p-system-container-impl-" in text


def test_a_driver_that_fails_is_its_tasks_failure(kfp: KfpServer) -> None:
    """Then there is no node of the task: the container was never started."""
    kfp.script = [Frame("FAILED", {"first": "SUCCEEDED", "second-driver": "FAILED"})]
    status, lines = watch(kfp)
    text = "\n".join(lines)
    assert status == 1
    assert "second  FAILED" in text
    assert "its driver failed, before the container was started" in text


def test_only_the_runs_state_is_shown_without_the_pipelines_version(kfp: KfpServer) -> None:
    start(kfp)
    kfp.versions.clear()
    kfp.script = [Frame("RUNNING", {"first": "RUNNING"}), DONE]
    status, lines = watch(kfp)
    assert status == 0
    assert "version cannot be read" in lines[0]
    assert [line.split()[1:] for line in lines[1:-1]] == [
        ["task", "state"],
        ["(run)", "RUNNING"],
        ["SUCCEEDED"],
    ]


def test_names_of_a_compiled_pipeline(package: Path) -> None:
    spec = yaml.safe_load(package.read_text())
    assert task_names(spec) == task_names({"pipeline_spec": spec}) == {"first", "second"}
    assert task_names(None) == frozenset()


def test_a_run_is_watched_without_its_namespace(
    kfp: KfpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOURSTEP_KFP_TOKEN", SECRET)
    kfp.multi_user, kfp.tokens = True, {SECRET: {"team"}}
    start(kfp, "team")
    kfp.script = [Frame("FAILED", {"first": "FAILED"})]
    status, lines = watch(kfp)
    assert status == 1
    assert "kubectl logs -n NAMESPACE POD" in "\n".join(lines)


def test_a_task_in_a_loop_has_a_row_for_each_time() -> None:
    details = [
        api.V2beta1PipelineTaskDetail(task_id=i, display_name="first", state="RUNNING")
        for i in ("a", "b")
    ]
    run = api.V2beta1Run(run_details=api.V2beta1RunDetails(task_details=details))
    assert {t.key for t in read_tasks(run, frozenset({"first"}))} == {"first:a", "first:b"}
    assert read_tasks(api.V2beta1Run(), frozenset()) == []


@pytest.mark.parametrize("kind", ["drop", "500", "502", "503", "429"])
def test_a_server_that_is_away_is_waited_for(kfp: KfpServer, kind: str) -> None:
    kfp.script = [Frame("RUNNING"), DONE]
    kfp.faults = [Fault("GET", "/runs/", kind, times=3, after=1)]
    pauses: list[float] = []
    status, lines = watch(kfp, sleep=pauses.append)
    assert status == 0
    assert sum("trying again" in line for line in lines) == 1
    assert sum("answers again" in line for line in lines) == 1
    assert pauses == [0.03, 0.01, 0.02, 0.04]


def test_retry_after_is_kept_to(kfp: KfpServer) -> None:
    kfp.script = [DONE]
    kfp.faults = [
        Fault("GET", "/runs/", "429", headers={"Retry-After": "7"}),
        Fault("GET", "/runs/", "503", headers={"Retry-After": "99999"}),
        Fault("GET", "/runs/", "503", headers={"Retry-After": "soon"}),
    ]
    pauses: list[float] = []
    assert watch(kfp, sleep=pauses.append)[0] == 0
    assert pauses == [7, 300, 0.04]


def test_a_server_that_stays_away(kfp: KfpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "PATIENCE_S", 1.0)
    kfp.faults = [Fault("GET", "/runs/", "503", times=999)]
    status, lines = watch(kfp)
    assert status == 3
    assert lines[-2] == "the run is not watched any more, but it is left as it is"
    assert lines[-1] == f"to watch it again: fourstep watch run-0 --host {kfp.url}"


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


@pytest.mark.parametrize("kind", ["login", "html", "403"])
def test_a_refusal_while_watching_leaves_the_run(kfp: KfpServer, kind: str) -> None:
    kfp.script = [Frame("RUNNING")]
    kfp.faults = [Fault("GET", "/runs/", kind, times=9, after=1)]
    status, lines = watch(kfp)
    assert status == 3
    assert lines[-1].startswith("to watch it again: fourstep watch run-0")


def test_ctrl_c_leaves_the_run_alive(kfp: KfpServer) -> None:
    kfp.script = [Frame("RUNNING", {"first": "RUNNING"})]

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    status, lines = watch(kfp, sleep=interrupt)
    assert status == 130
    assert lines[-2:] == [
        "stopped watching; the run goes on",
        f"to watch it again: fourstep watch run-0 --host {kfp.url}",
    ]
    assert kfp.posts("") == 0


def test_a_real_ctrl_c(kfp: KfpServer) -> None:
    start(kfp)
    kfp.script = [Frame("RUNNING", {"first": "RUNNING"})]
    code = (
        "import signal, sys; from cli.submit import watch; "
        "from pipelines.submit import Connection; "
        # A shell has what it starts in the background ignore Ctrl-C, and so the tests' processes.
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"sys.exit(watch('run-0', Connection({kfp.url!r})))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        before = list(itertools.takewhile(lambda line: "first" not in line, run.stdout))
        run.send_signal(signal.SIGINT)
        assert "to watch it again: fourstep watch run-0" in run.stdout.read(), before
    assert run.returncode == 130


def test_the_command_imports_nothing_heavy() -> None:
    code = "import sys, cli.submit; print({'kfp', 'torch', 'kubernetes'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_run_that_does_not_exist(kfp: KfpServer, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(InputError, match=r"no run 'run-7'.*run-7 not found"):
        command.watch("run-7", connection(kfp))


def test_a_run_that_is_deleted_while_it_is_watched(kfp: KfpServer) -> None:
    kfp.script = [Frame("RUNNING")]
    with pytest.raises(InputError, match="no run 'run-0' \\(or not any more\\)"):
        watch(kfp, sleep=lambda _: kfp.runs.clear())


def test_watch_a_run_again(kfp: KfpServer, capsys: pytest.CaptureFixture) -> None:
    start(kfp)
    kfp.script = [DONE]
    assert command.watch("run-0", connection(kfp)) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{kfp.url}/#/runs/details/run-0"
