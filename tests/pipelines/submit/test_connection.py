"""A server that cannot be reached, or is not Kubeflow Pipelines."""

import socket
from pathlib import Path

import pytest

from components.errors import InputError
from pipelines.submit import Connection, Server
from pipelines.submit import server as server_module
from tests.pipelines.kfp_server import Fault, KfpServer, serve
from tests.pipelines.submit.calls import SECRET, connection, submit


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


def test_an_api_server_that_its_ui_does_not_reach(kfp: KfpServer) -> None:
    """It would be taken for a server of one user."""
    kfp.through_ui, kfp.ready = True, False
    with pytest.raises(InputError, match="UI answers, but the API server behind it does not"):
        Server(connection(kfp))
