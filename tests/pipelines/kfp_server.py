"""A Kubeflow Pipelines API server on loopback, for tests of `fourstep submit`.

It speaks REST v2beta1 with the models of the installed kfp_server_api: what comes in is read into
them, unknown fields refused, and what goes out is written from them. What it reports of a run's
tasks are the nodes of the Argo workflow, as the server up to 2.17 does.
"""

import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import kfp_server_api as api
import yaml

HTML = b"<html><body>Please log in</body></html>"
WORKFLOW = "echo-twice-x7k2p"
_CLIENT = api.ApiClient()
_START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Refused(Exception):  # noqa: N818 (it reads as what happened)
    """An answer that is an error, in the form of grpc-gateway."""

    def __init__(self, status: int, message: str, *, upload: bool = False):
        self.status = status
        self.body = {"error": message, "code": 3, "message": message, "details": []}
        if upload:
            self.body = {"error_message": message, "error_details": f"{message}\nstack trace"}


@dataclass
class Fault:
    """What goes wrong, at calls of this method whose path matches."""

    method: str
    path: str
    kind: str
    """A status, or: drop (before the work), lose (after the work), html, login, slow."""
    times: int = 1
    after: int = 0
    """How many calls go well before."""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = HTML


@dataclass(frozen=True)
class Frame:
    """What one look at a run shows: its state and the states of its tasks."""

    state: str
    tasks: dict[str, str] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    token: str | None
    body: Any


@dataclass
class KfpServer:
    """The state of the server, and the switches of a test."""

    url: str = ""
    multi_user: bool = False
    tokens: dict[str, set[str]] | None = None
    """The namespaces that each token may use; None lets everybody in."""
    refuse_package: str = ""
    page_limit: int = 2
    hidden: bool = False
    """Whether runs are left out of lists."""
    script: list[Frame] = field(default_factory=lambda: [Frame("SUCCEEDED")])
    linked: bool = False
    """Whether tasks hold their error, pod and parent, which the server up to 2.17 leaves out."""
    task_error: str = ""
    faults: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    on_request: Callable[[Request], None] = lambda _: None
    experiments: list[Any] = field(default_factory=list)
    pipelines: list[Any] = field(default_factory=list)
    versions: list[Any] = field(default_factory=list)
    runs: list[Any] = field(default_factory=list)
    looks: dict[str, int] = field(default_factory=dict)
    closing: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def posts(self, path: str) -> int:
        """How often something was posted to a path."""
        return sum(r.method == "POST" and r.path.endswith(path) for r in self.requests)

    def add_experiment(self, name: str, namespace: str | None = None, state: str = "AVAILABLE"):
        self.experiments.append(
            api.V2beta1Experiment(
                experiment_id=f"exp-{len(self.experiments)}",
                display_name=name,
                namespace=namespace,
                storage_state=state,
                created_at=_START,
            )
        )

    def healthz(self, _: Request) -> Any:
        return api.V2beta1GetHealthzResponse(multi_user=self.multi_user)

    def list_experiments(self, request: Request) -> Any:
        found = self._in_namespace(request, self.experiments)
        return self._page(request, found, api.V2beta1ListExperimentsResponse, "experiments")

    def create_experiment(self, request: Request) -> Any:
        wanted = read(request.body, "V2beta1Experiment")
        self._authorise(request, wanted.namespace)
        if any(_same(e, wanted) for e in self.experiments):
            raise Refused(409, f"Already exist error: experiment {wanted.display_name}")
        self.add_experiment(wanted.display_name, wanted.namespace)
        return self.experiments[-1]

    def list_pipelines(self, request: Request) -> Any:
        found = self._in_namespace(request, self.pipelines)
        return self._page(request, found, api.V2beta1ListPipelinesResponse, "pipelines")

    def create_pipeline(self, request: Request) -> Any:
        wanted = read(request.body, "V2beta1Pipeline")
        self._authorise(request, wanted.namespace)
        if any(_same(p, wanted) for p in self.pipelines):
            raise Refused(409, f"Already exist error: pipeline {wanted.display_name}")
        wanted.pipeline_id = f"pipe-{len(self.pipelines)}"
        wanted.created_at = _START
        self.pipelines.append(wanted)
        return wanted

    def list_versions(self, request: Request, pipeline: str) -> Any:
        found = [v for v in self.versions if v.pipeline_id == pipeline]
        answer = api.V2beta1ListPipelineVersionsResponse
        return self._page(request, found, answer, "pipeline_versions")

    def get_version(self, _: Request, pipeline: str, version: str) -> Any:
        return _one(self.versions, "pipeline_version_id", version)

    def upload_version(self, request: Request) -> Any:
        pipeline = _one(self.pipelines, "pipeline_id", request.query["pipelineid"])
        self._authorise(request, pipeline.namespace)
        if self.refuse_package:
            raise Refused(500, self.refuse_package, upload=True)
        name = request.query["name"]
        if any(v.display_name == name for v in self.versions):
            raise Refused(409, f"Already exist error: version {name}", upload=True)
        documents = list(yaml.safe_load_all(request.body))
        spec = documents[0]
        if len(documents) > 1:
            spec = {"pipeline_spec": spec, "platform_spec": documents[1]}
        self.versions.append(
            api.V2beta1PipelineVersion(
                pipeline_id=pipeline.pipeline_id,
                pipeline_version_id=f"version-{len(self.versions)}",
                display_name=name,
                created_at=_START,
                pipeline_spec=spec,
            )
        )
        return self.versions[-1]

    def create_run(self, request: Request) -> Any:
        run = read(request.body, "V2beta1Run")
        experiment = _one(self.experiments, "experiment_id", run.experiment_id)
        self._authorise(request, experiment.namespace)
        version = run.pipeline_version_reference.pipeline_version_id
        spec = _one(self.versions, "pipeline_version_id", version).pipeline_spec
        spec = spec.get("pipeline_spec", spec)
        known = spec["root"].get("inputDefinitions", {}).get("parameters", {})
        for name in run.runtime_config.parameters:
            if name not in known:
                raise Refused(400, f"Invalid input error: parameter {name} is not an input")
        run.run_id = f"run-{len(self.runs)}"
        run.created_at = _START
        self.runs.append(run)
        return run

    def list_runs(self, request: Request) -> Any:
        experiment = request.query["experiment_id"]
        found = [r for r in self.runs if r.experiment_id == experiment and not self.hidden]
        return self._page(request, found, api.V2beta1ListRunsResponse, "runs")

    def get_run(self, request: Request, run_id: str) -> Any:
        run = _one(self.runs, "run_id", run_id)
        experiment = _one(self.experiments, "experiment_id", run.experiment_id)
        self._authorise(request, experiment.namespace)
        look = self.looks.get(run_id, 0)
        self.looks[run_id] = look + 1
        frame = self.script[min(look, len(self.script) - 1)]
        run.state = frame.state
        run.error = api.GoogleRpcStatus(code=2, message=frame.error) if frame.error else None
        run.run_details = api.V2beta1RunDetails(task_details=list(self._nodes(run_id, frame)))
        return run

    def _nodes(self, run_id: str, frame: Frame) -> Iterator[Any]:
        """The nodes of the Argo workflow."""
        names = [name for name in frame.tasks if not name.endswith("-driver")]
        root = [f"{WORKFLOW}-{_number(name)}" for name in names]
        yield self._node(run_id, WORKFLOW, frame.state, [f"{WORKFLOW}-100"])
        yield self._node(run_id, "root-driver", "SUCCEEDED", [f"{WORKFLOW}-101"])
        yield self._node(run_id, "root", frame.state, root)
        for name, state in frame.tasks.items():
            if name.endswith("-driver"):
                yield self._node(run_id, name, state, [])
                continue
            yield self._node(run_id, f"{name}-driver", "SUCCEEDED", [])
            inner = "SKIPPED" if state == "CACHED" else state
            outer = "SUCCEEDED" if state == "CACHED" else state
            executor = f"{WORKFLOW}-{_number(name) + 1}"
            yield self._node(run_id, name, outer, [executor])
            yield self._node(run_id, "executor", inner, [], parent=name)

    def _node(
        self, run_id: str, name: str, state: str, children: list[str], parent: str = ""
    ) -> Any:
        child = [api.PipelineTaskDetailChildTask(pod_name=c) for c in children]
        begin = _START + timedelta(minutes=5 * ("second" in (name, parent)))
        node = api.V2beta1PipelineTaskDetail(
            run_id=run_id,
            task_id=f"task-{parent}-{name}",
            display_name=name,
            create_time=_START,
            start_time=begin,
            end_time=begin + timedelta(seconds=83) if state != "RUNNING" else _EPOCH,
            state=state,
            child_tasks=child or None,
        )
        if self.linked and parent:
            node.parent_task_id = f"task--{parent}"
            node.pod_name = f"{WORKFLOW}-system-container-impl-{_number(parent) + 1}"
            if state == "FAILED":
                node.error = api.GoogleRpcStatus(code=2, message=self.task_error)
        return node

    def _in_namespace(self, request: Request, items: list[Any]) -> list[Any]:
        namespace = request.query.get("namespace")
        if namespace and not self.multi_user:
            text = "Invalid input error: In single-user mode, cannot filter by namespace"
            raise Refused(400, text)
        self._authorise(request, namespace)
        return [item for item in items if item.namespace == namespace]

    def _authorise(self, request: Request, namespace: str | None) -> None:
        if self.tokens is None or not self.multi_user:
            return
        if not namespace:
            raise Refused(400, "Invalid input error: a namespace is needed in multi-user mode")
        if namespace not in self.tokens[request.token or ""]:
            raise Refused(403, "Failed to authorize with API: PermissionDenied: no access")

    def _page(self, request: Request, items: list[Any], answer: Any, name: str) -> Any:
        for predicate in read(json.loads(request.query.get("filter", "{}")), "V2beta1Filter"):
            assert predicate.operation == "EQUALS"
            items = [i for i in items if getattr(i, predicate.key) == predicate.string_value]
        begin = int(request.query.get("page_token") or 0)
        size = min(int(request.query.get("page_size", 20)), self.page_limit)
        rest = str(begin + size) if begin + size < len(items) else ""
        return answer(**{name: items[begin : begin + size] or None}, next_page_token=rest)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_P = "/apis/v2beta1"
_ROUTES = [
    ("GET", f"{_P}/healthz", KfpServer.healthz),
    ("GET", f"{_P}/experiments", KfpServer.list_experiments),
    ("POST", f"{_P}/experiments", KfpServer.create_experiment),
    ("GET", f"{_P}/pipelines", KfpServer.list_pipelines),
    ("POST", f"{_P}/pipelines", KfpServer.create_pipeline),
    ("POST", f"{_P}/pipelines/upload_version", KfpServer.upload_version),
    ("GET", f"{_P}/pipelines/([^/]+)/versions", KfpServer.list_versions),
    ("GET", f"{_P}/pipelines/([^/]+)/versions/([^/]+)", KfpServer.get_version),
    ("POST", f"{_P}/runs", KfpServer.create_run),
    ("GET", f"{_P}/runs", KfpServer.list_runs),
    ("GET", f"{_P}/runs/([^/]+)", KfpServer.get_run),
]


def read(value: Any, model: str) -> Any:
    """A model from JSON; unknown fields are refused. A filter gives its predicates."""
    _check_fields(value, model)
    made = _CLIENT.deserialize(SimpleNamespace(data=json.dumps(value)), model)
    return (made.predicates or []) if model == "V2beta1Filter" else made


def _check_fields(value: Any, model: str) -> None:
    listed = re.fullmatch(r"list\[(\w+)\]", model)
    cls = getattr(api, listed[1] if listed else model, None)
    if cls is None or not cls.openapi_types:
        return
    for item in value if listed else [value]:
        fields = {cls.attribute_map[name]: kind for name, kind in cls.openapi_types.items()}
        unknown = set(item) - set(fields)
        if unknown:
            raise Refused(400, f"unknown field {sorted(unknown)} in {cls.__name__}")
        for name, inner in item.items():
            _check_fields(inner, fields[name])


def _one(items: list[Any], key: str, value: str) -> Any:
    for item in items:
        if getattr(item, key) == value:
            return item
    raise Refused(404, f"ResourceNotFoundError: {value} not found")


def _same(one: Any, other: Any) -> bool:
    return (one.display_name, one.namespace) == (other.display_name, other.namespace)


def _number(name: str) -> int:
    return 1000 + sum(name.encode()) * 10


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    kfp: KfpServer

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def log_message(self, *_: Any) -> None:
        pass

    def _handle(self) -> None:
        request = self._request()
        with self.kfp.lock:
            self.kfp.requests.append(request)
            self.kfp.on_request(request)
            fault = self._fault(request)
            if fault is None or fault.kind in ("lose", "slow"):
                status, answer = self._answer(request)
        if fault is None:
            self._send(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})
        elif fault.kind in ("drop", "lose"):
            self.close_connection = True
        elif fault.kind == "slow":
            self.kfp.closing.wait(30)
            self.close_connection = True
        elif fault.kind == "html":
            self._send(200, fault.body, {"Content-Type": "text/html"})
        elif fault.kind == "login":
            self._send(302, b"", {"Location": "https://sso.example.org/auth?state=s3cret"})
        else:
            self._send(int(fault.kind), fault.body, fault.headers)

    def _request(self) -> Request:
        url = urlsplit(self.path)
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self.headers.get("Content-Type", "")
        body: Any = None
        if kind.startswith("multipart/"):
            head = f"Content-Type: {kind}\r\n\r\n".encode()
            (part,) = BytesParser(policy=HTTP).parsebytes(head + data).iter_parts()
            assert part.get_param("name", header="content-disposition") == "uploadfile"
            assert Path(part.get_filename()).suffix == ".yaml"
            body = part.get_payload(decode=True)
        elif data:
            body = json.loads(data)
        token = self.headers.get("Authorization")
        return Request(
            method=self.command,
            path=unquote(url.path),
            query=dict(parse_qsl(url.query)),
            token=token.removeprefix("Bearer ") if token else None,
            body=body,
        )

    def _fault(self, request: Request) -> Fault | None:
        for fault in self.kfp.faults:
            if fault.method != request.method or not re.search(fault.path, request.path):
                continue
            if fault.after > 0:
                fault.after -= 1
            elif fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def _answer(self, request: Request) -> tuple[int, Any]:
        try:
            if self.kfp.tokens is not None and request.token not in self.kfp.tokens:
                raise Refused(401, f"Unauthenticated: bad token {request.token}")
            for method, path, act in _ROUTES:
                match = re.fullmatch(path, request.path)
                if match and method == request.method:
                    answer = act(self.kfp, request, *match.groups())
                    return 200, _CLIENT.sanitize_for_serialization(answer)
            raise Refused(404, "Not Found")
        except Refused as refused:
            return refused.status, refused.body

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serve(certificate: Path | None = None, key: Path | None = None) -> Iterator[KfpServer]:
    """Run a server on a free port of loopback, with TLS if there is a certificate."""
    kfp = KfpServer()
    handler = type("Handler", (_Handler,), {"kfp": kfp})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        http.daemon_threads = True
        http.handle_error = lambda *_: None
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            http.socket = context.wrap_socket(http.socket, server_side=True)
        kfp.url = f"{'https' if certificate else 'http'}://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield kfp
        finally:
            kfp.closing.set()
            http.shutdown()
            thread.join()
