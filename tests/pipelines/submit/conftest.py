"""A compiled pipeline, a server on loopback, and an environment without a login."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kfp import compiler, dsl

from pipelines.submit import server as server_module
from pipelines.submit import watch as watch_module
from tests.pipelines.kfp_server import KfpServer, serve


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


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("package") / "pipeline.yaml"
    compiler.Compiler().compile(echo_twice, str(path))
    return path


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No login, a home of one's own, and traps for what must not be used."""
    for kind, end in itertools.product(("TOKEN", "COOKIE"), ("", "_FILE")):
        monkeypatch.delenv(f"FOURSTEP_KFP_{kind}{end}", raising=False)
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


@pytest.fixture(scope="session")
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
