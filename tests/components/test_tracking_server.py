"""A tracking server that goes away, hangs or loses answers: nothing is lost, nothing comes twice.

The server is a real one, which the tests kill, stop and start again. Between it and the stages is
a proxy that can fail in every way a network does.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun

from components import tracking
from components.outputs import whole_outputs
from components.tracking import Run, replay, ship, spool, track
from components.tracking import run as stage_end
from tests.components.tracked_stages import Prepare, Train, prepare, set_environment

STEPS = 6
Fault = str | None


class Server:
    """A tracking server that can be killed, stopped, and started again on what it has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = f"-m mlflow server --host 127.0.0.1 --port {self.port} --workers 1"
        places = [
            f"--backend-store-uri=sqlite:///{self.folder}/db",
            f"--artifacts-destination={self.folder}/artifacts",
        ]
        log = self.folder / "log"
        with log.open("a") as file:
            self.process = subprocess.Popen(
                [sys.executable, *command.split(), "--serve-artifacts", *places],
                stdout=file,
                stderr=file,
                cwd=self.folder,
                start_new_session=True,
                env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            )
        wait_until(self.answers, log.read_text)

    def answers(self) -> bool:
        """Whether it is up."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    def signal(self, number: int) -> None:
        """Send a signal to all processes of the server."""
        assert self.process
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """Kill it."""
        if self.process:
            self.signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


class Listener(ThreadingHTTPServer):
    """Waits for no thread at its end, and says nothing of clients that hang up."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, *words: Any) -> None: ...


class Proxy:
    """Hands requests on to the server, unless `fault` says what goes wrong with one.

    It gets the method and the kind of a request. ``500``: such an answer; ``page``: a page of
    something else; ``hang``: no answer; ``drop``: the connection is closed; ``lose``: the same,
    but after the server has done what it was asked.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.fault: Callable[[str], Fault] = lambda kind: None
        self.seen: Counter[str] = Counter()
        self.let_go = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # 40 ms a request
            wbufsize = -1

            def __getattr__(self, name: str) -> Callable[[], None]:
                if name.startswith("do_"):
                    return lambda: proxy.serve(self)
                raise AttributeError(name)

            def log_message(self, *words: Any) -> None: ...

        self.httpd = Listener(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.httpd.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.httpd.server_port}"

    def good(self) -> None:
        """From here on nothing goes wrong."""
        self.fault = lambda kind: None
        self.let_go.set()

    def always(self, fault: str) -> None:
        """From here on everything goes wrong in this way."""
        self.let_go.clear()
        self.fault = lambda kind: fault

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request, or not."""
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        kind = kind_of(request.command, request.path)
        self.seen[kind] += 1
        fault = self.fault(kind)
        if fault == "hang":
            self.let_go.wait()
        if fault in ("hang", "drop"):
            request.close_connection = True
        elif fault == "page":
            reply(request, 200, b"<html>Please log in</html>")
        elif fault and fault.isdecimal():
            reply(request, int(fault), b"<html>Something is wrong</html>")
        else:
            status, answer = self.ask(request, body)
            if fault == "lose":
                request.close_connection = True
            else:
                reply(request, status, answer)

    def ask(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        """The server's answer; 502 if it is not there."""
        connection = HTTPConnection("127.0.0.1", self.target)
        headers = {k: v for k, v in request.headers.items() if k != "Connection"}
        try:
            connection.request(request.command, request.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 502, b""
        finally:
            connection.close()


def reply(request: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    """Answer a request."""
    request.send_response(status)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def kind_of(method: str, path: str) -> str:
    """What a request asks for, without the ids."""
    path = path.partition("?")[0]
    return (
        f"{method} artifact" if "/artifacts/" in path else f"{method} {path.split('mlflow/')[-1]}"
    )


def wait_until(condition: Callable[[], Any], why: Callable[[], str] = str) -> None:
    """Wait for something that happens elsewhere."""
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline, why()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for this file: to start it takes ten seconds."""
    made = Server(tmp_path_factory.mktemp("server"))
    try:
        made.start()
        yield made
    finally:
        made.kill()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A proxy before the server, which lives."""
    if not server.process:  # a test that killed it has failed
        server.start()
    made = Proxy(server.port)
    yield made
    made.good()
    made.httpd.shutdown()
    made.httpd.server_close()


@pytest.fixture
def client(server: Server) -> MlflowClient:
    """A client that sees what the server has."""
    return MlflowClient(f"http://127.0.0.1:{server.port}")


@pytest.fixture(autouse=True)
def place(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline run, an experiment and a spool for each test; no shipper starts by itself."""
    set_environment(monkeypatch, tmp_path / "spool")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.url)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", tmp_path.name)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")
    monkeypatch.setenv("FOURSTEP_PIPELINE_RUN", str(tmp_path))
    monkeypatch.setattr(ship, "getproxies", dict)
    wait_for_answers(monkeypatch, 120)
    (tmp_path / "table").write_text("from elsewhere")
    return tmp_path


def wait_for_answers(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    """How long to wait for each: long for a server that is busy, not long for one that hangs."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", str(seconds))
    monkeypatch.setattr(ship, "ANSWER_S", float(seconds))


def train(
    place: Path,
    name: str,
    meanwhile: Callable[[int], object] = lambda step: None,
    out: Path = Path(),
) -> Run:
    """Run a stage under this name; ``meanwhile`` is called after each step, and before the end."""
    stage = Train(
        table=place / "table",
        checkpoint=place / out / "checkpoint",
        metrics=place / out / "metrics.json",
        curves=place / out / "curves.csv",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOURSTEP_STAGE", name)
        with track(stage) as run, whole_outputs(stage) as aside:
            for step in range(STEPS):
                run.metrics({"loss": 1.0 / (step + 1)}, step=step)
                meanwhile(step)
            aside.checkpoint.write_text("weights")
            aside.metrics.write_text(json.dumps({"AP": 0.5}))
            aside.curves.write_text(f"curves of {name}\n")
            meanwhile(STEPS)
    return run


def turn() -> bool:
    """What a living shipper does again and again; whether MLflow was there."""
    shipper = ship.Shipper(spool.destination(), 0.0)
    return shipper.turn(shipper.waiting())


def stages(client: MlflowClient, place: Path) -> list[MlflowRun]:
    """The runs of stages, oldest first; they have one parent, and it knows them."""
    experiment = client.get_experiment_by_name(place.name)
    assert experiment
    found = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    (parent,) = (r for r in found if "fourstep.pipeline_run" in r.data.tags)
    below = [r for r in found if r.info.run_id != parent.info.run_id]
    assert {r.data.tags["mlflow.parentRunId"] for r in below} == {parent.info.run_id}
    assert parent.info.status == "FINISHED"
    for name in (f"{r.info.run_name}.AP" for r in below if "AP" in r.data.metrics):
        assert len(client.get_metric_history(parent.info.run_id, name)) == 1
    return below


def check_whole(client: MlflowClient, place: Path, *names: str) -> None:
    """MLflow has exactly what these stages told, in order, and the spool is empty."""
    runs = stages(client, place)
    assert [r.info.run_name for r in runs] == list(names)
    for run in runs:
        key = run.info.run_id
        history = client.get_metric_history(key, "loss")
        told = [(step, 1.0 / (step + 1)) for step in range(STEPS)]
        assert sorted((m.step, m.value) for m in history) == told
        assert [m.value for m in client.get_metric_history(key, "AP")] == [0.5]
        assert [a.path for a in client.list_artifacts(key, "curves")] == ["curves/curves.csv"]
        assert content(client, key) == f"curves of {run.info.run_name}\n"
        assert run.data.params == {"lr": "0.1"}
        assert run.info.status == "FINISHED"
    assert spool.pending(spool.destination()) == []


def content(client: MlflowClient, run: str) -> str:
    """What the run's only artifact holds."""
    uri = f"{client.tracking_uri}/api/2.0/mlflow-artifacts/artifacts/"
    tail = client.get_run(run).info.artifact_uri.partition(":/")[2]
    with urlopen(f"{uri}{tail.lstrip('/')}/curves/curves.csv") as answer:
        return str(answer.read().decode())


def test_killed_during_after_the_last_metric_and_before_a_stage(
    server: Server, client: MlflowClient, place: Path
) -> None:
    """Three stages of one pipeline run: one kill meets the first two, the third finds it dead."""

    def second(step: int) -> None:
        if step == 2:
            assert turn()
            server.kill()
        elif step == 4:
            assert not turn()

    def first(step: int) -> None:
        if step == STEPS:
            assert turn()
            train(place, "second", second, Path("inner"))

    train(place, "first", first)
    train(place, "third")
    assert replay() == 3
    server.start()
    assert replay() == 0
    check_whole(client, place, "first", "second", "third")
    assert replay() == 0


@pytest.mark.parametrize("fault", ["500", "page", "drop", "hang"])
def test_the_server_fails_for_a_while_and_is_good_again(
    proxy: Proxy,
    client: MlflowClient,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    def meanwhile(step: int) -> None:
        if step == 1:
            assert turn()
            proxy.always(fault)
            wait_for_answers(monkeypatch, 1)
        elif step == 3:
            assert not turn()

    train(place, "first", meanwhile)
    train(place, "second")
    assert replay() == 2
    proxy.good()
    wait_for_answers(monkeypatch, 120)
    assert replay() == 0
    check_whole(client, place, "first", "second")


def test_an_artifact_that_a_proxy_finds_too_large_holds_nothing_up(
    proxy: Proxy, client: MlflowClient, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.fault = lambda kind: "413" if kind == "PUT artifact" else None
    train(place, "first")
    assert replay() == 0
    proxy.good()
    train(place, "second")
    assert replay() == 0
    first, second = stages(client, place)
    assert (first.info.status, second.info.status) == ("FINISHED", "FINISHED")
    assert not client.list_artifacts(first.info.run_id)
    assert client.list_artifacts(second.info.run_id)
    assert "left out {'event': 'artifact'" in caplog.text


@pytest.mark.parametrize("answers", [1, 2])
def test_lost_answers_of_every_kind_of_request_make_nothing_twice(
    proxy: Proxy, client: MlflowClient, place: Path, answers: int
) -> None:
    """One: MLflow's client asks again. Two: it gives up, and the shipper comes again."""
    lost: Counter[str] = Counter()

    def fault(kind: str) -> Fault:
        lost[kind] += 1
        return "lose" if lost[kind] <= answers and not kind.startswith("GET /health") else None

    proxy.fault = fault
    train(place, "first")
    train(place, "second")
    tries = 0
    while replay():
        tries += 1
        assert tries < 2 * len(lost), lost
    assert (tries > 0) == (answers == 2)
    asked = {"experiments/create", "runs/create", "runs/log-batch", "runs/update", "runs/search"}
    assert {f"POST {name}" for name in asked} | {"PUT artifact"} <= lost.keys()
    check_whole(client, place, "first", "second")


def test_a_server_that_hangs_costs_a_pipeline_run_one_wait(
    server: Server, client: MlflowClient, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """The first stage is told after a moment, the others do not even ask for the time."""
    shippers: list[threading.Thread] = []

    def start_shipper(folder: Path, linger: bool) -> None:
        shippers.append(threading.Thread(target=ship.ship, args=(folder,)))
        shippers[-1].start()

    monkeypatch.setattr(tracking, "start_shipper", start_shipper)
    monkeypatch.setenv("FOURSTEP_TRACKING_WAIT", "600")
    server.signal(signal.SIGSTOP)
    wait_for_answers(monkeypatch, 1)
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.port}")
        train(place, "stage 0")
        assert "TimeoutError" in capsys.readouterr().err
        clock = SimpleNamespace(
            time=time.time, monotonic=time.monotonic, sleep=lambda s: pytest.fail("it waits")
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stage_end, "time", clock)
            for number in range(1, 4):
                train(place, f"stage {number}")
                assert "TimeoutError" in capsys.readouterr().err
        for shipper in shippers:
            shipper.join()
    finally:
        server.signal(signal.SIGCONT)
    wait_for_answers(monkeypatch, 120)
    assert replay() == 0
    check_whole(client, place, *(f"stage {number}" for number in range(4)))
    assert spool.away(spool.destination(), 0.0) is None


def test_a_stage_makes_no_connection(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So no server, however slow, makes a training slower."""

    def no_network(*_: object, **__: object) -> None:
        pytest.fail("the stage asks the network")

    monkeypatch.setattr(socket, "socket", no_network)
    monkeypatch.setattr(socket, "create_connection", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    train(place, "first")
    assert len(spool.pending(spool.destination())) == 1


def test_the_next_runs_outputs_take_no_artifact_away(
    client: MlflowClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where files cannot be linked; where they can, all other tests show it."""

    def no_link(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_link)
    train(place, "first")
    train(place, "second")
    (place / "curves.csv").unlink()
    assert replay() == 0
    check_whole(client, place, "first", "second")


def test_a_broken_progress_file_makes_nothing_twice(client: MlflowClient, place: Path) -> None:
    def meanwhile(step: int) -> None:
        if step == 3:
            assert turn()
            (folder,) = spool.pending(spool.destination())
            (folder / "progress.json").write_bytes(b"\0" * 64)

    train(place, "first", meanwhile)
    assert replay() == 0
    check_whole(client, place, "first")


def test_a_killed_stage_that_is_shipped_again_ends_once(
    proxy: Proxy, client: MlflowClient, place: Path
) -> None:
    """The end that it could not tell is the same at each attempt: the parent's metrics, too."""
    writer = tracking.open_spool(Prepare(out=place / "out"))
    assert writer
    writer.write("metrics", values={"AP": 0.5}, step=0)
    writer._file.write('{"event": "metr')  # torn by a power loss
    writer.close()
    lost = Counter[str]()

    def fault(kind: str) -> Fault:
        lost[kind] += 1
        return "lose" if kind == "POST runs/update" and lost[kind] in (3, 4, 6, 7) else None

    proxy.fault = fault
    while replay():
        time.sleep(0.01)
    experiment = client.get_experiment_by_name(place.name)
    assert experiment
    found = {r.info.run_name: r for r in client.search_runs([experiment.experiment_id])}
    assert found["prepare"].info.status == "FAILED"
    assert len(client.get_metric_history(found["prepare"].info.run_id, "AP")) == 1
    parent = found["prepare"].data.tags["mlflow.parentRunId"]
    assert len(client.get_metric_history(parent, "prepare.AP")) == 1
    assert len(found) == 2


def test_a_spool_without_its_beginning_stays_and_holds_nothing_up(
    client: MlflowClient, place: Path
) -> None:
    train(place, "lost")
    (folder,) = spool.pending(spool.destination())
    events = folder / spool.EVENTS
    first, rest = events.read_bytes().split(b"\n", 1)
    events.write_bytes(b"\0" * len(first) + b"\n" + rest)
    train(place, "second")
    assert replay() == 1
    assert spool.pending(spool.destination()) == [folder]
    assert "cannot be read" in (folder / "error.txt").read_text()
    events.write_bytes(first + b"\n" + b"\0\0\n" + rest)  # a broken line in the middle is left out
    assert replay() == 0
    check_whole(client, place, "lost", "second")


def test_no_password_in_what_is_said_of_a_server_that_fails(
    proxy: Proxy, place: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    proxy.always("500")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.url.replace("://", "://me:hush@"))
    prepare(place)
    command = [sys.executable, "-m", "components.tracking.ship", str(spool.destination()), "0"]
    assert subprocess.run(command, check=False).returncode == 1
    prepare(place)  # is told why
    said = capfd.readouterr()
    assert "MLflow has not got this run yet" in said.err
    words = [said.out, said.err]
    for path in spool.destination().rglob("*"):
        if path.is_file():
            words.append(path.read_text())
    assert any("Traceback" in text for text in words)
    assert not any("hush" in text for text in words)


def test_an_address_that_cannot_be_read_is_not_quoted(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hush/hush@127.0.0.1:9")
    prepare(place)
    assert replay() == 1
    (folder,) = spool.pending(spool.destination())
    assert (folder / "error.txt").read_text() == (
        "OSError: MLFLOW_TRACKING_URI is no valid address\n"
    )
    assert "hush" not in (spool.destination() / spool.AWAY).read_text()
