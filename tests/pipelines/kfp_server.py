"""A Kubeflow Pipelines API server on loopback, for tests of `fourstep submit`.

It speaks REST v2beta1 with the models of the installed kfp_server_api: what comes in is read into
them, unknown fields refused, and what goes out is written from them. What it reports of a run's
tasks are the nodes of the Argo workflow, as the server of 2.17 does (`tests.pipelines.argo`), or an
answer that was recorded.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kfp_server_api as api
import yaml

from tests.pipelines.argo import START, task_details, workflow
from tests.pipelines.kfp_http import Fault, Refused, Request, listen

_CLIENT = api.ApiClient()


@dataclass(frozen=True)
class Frame:
    """What one look at a run shows: its state and the states of its tasks."""

    state: str
    tasks: dict[str, str] = field(default_factory=dict)
    error: str = ""
    tries: int = 1
    """How often the container of a task that fails was started."""
    history: tuple[tuple[str, datetime], ...] = ()
    nodes: dict[str, Any] | None = None
    """Recorded nodes of the workflow, in place of tasks."""
    answer: dict[str, Any] | None = None
    """A recorded answer, in place of all the others."""


@dataclass
class KfpServer:
    """The state of the server, and the switches of a test."""

    url: str = ""
    multi_user: bool = False
    tokens: dict[str, set[str]] | None = None
    """The namespaces that each token may use; None lets everybody in."""
    refuse_package: str = ""
    refuse_run: str = ""
    page_limit: int = 2
    hidden: bool = False
    """Whether runs are left out of lists."""
    script: list[Frame] = field(default_factory=lambda: [Frame("SUCCEEDED")])
    scripts: dict[str, list[Frame]] = field(default_factory=dict)
    """The scripts of single runs, by id."""
    version: str = "2.17.0"
    """What /healthz calls tag_name."""
    through_ui: bool = False
    """Whether Kubeflow's UI stands before it, as at /pipeline of a full Kubeflow."""
    ready: bool = True
    """Whether the UI reaches the API server."""
    retried: bool = True
    """Whether each template has a retry strategy of Argo, as in Kubeflow's installation."""
    logs: dict[str, str] = field(default_factory=dict)
    """The text of a pod's log by the id of its node, or a part of it."""
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

    def answer(self, request: Request) -> tuple[int, Any]:
        """Status and answer of a request: JSON, or text."""
        try:
            if self.tokens is not None and (request.token or request.cookie) not in self.tokens:
                raise Refused(401, f"Unauthenticated: bad login {request.token or request.cookie}")
            for method, path, act in _ROUTES:
                match = re.fullmatch(path, request.path)
                if match and method == request.method:
                    answer = act(self, request, *match.groups())
                    return 200, _CLIENT.sanitize_for_serialization(answer)
            raise Refused(404, "Not Found")
        except Refused as refused:
            return refused.status, refused.body

    def add_experiment(self, name: str, namespace: str | None = None, state: str = "AVAILABLE"):
        self.experiments.append(
            api.V2beta1Experiment(
                experiment_id=f"exp-{len(self.experiments)}",
                display_name=name,
                namespace=namespace,
                storage_state=state,
                created_at=START,
            )
        )

    def healthz(self, _: Request) -> Any:
        if self.through_ui:  # frontend/server/handlers/healthz.ts
            ui = {"apiServerReady": self.ready, "buildDate": "", "frontendTagName": "2.17.0"}
            api_server = {"apiServerTagName": self.version, "multi_user": self.multi_user}
            return ui | (api_server if self.ready else {})
        return {
            "commit_sha": "unknown",
            "tag_name": self.version,
            "multi_user": self.multi_user,
            "pipeline_store": "database",
        }

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
        wanted.created_at = START
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
                created_at=START,
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
        if self.refuse_run:
            raise Refused(400, self.refuse_run)
        for name in run.runtime_config.parameters:
            if name not in known:
                raise Refused(400, f"Invalid input error: parameter {name} is not an input")
        run.run_id = f"run-{len(self.runs)}"
        run.created_at = START
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
        script = self.scripts.get(run_id, self.script)
        frame = script[min(look, len(script) - 1)]
        if frame.answer:
            return frame.answer
        nodes = frame.nodes or workflow(
            frame.state, frame.tasks, retried=self.retried, tries=frame.tries
        )
        answer = _CLIENT.sanitize_for_serialization(run)
        answer["state"] = frame.state
        answer["run_details"] = {"task_details": task_details(run_id, nodes)}
        answer["state_history"] = [
            {"update_time": time.isoformat(), "state": state} for state, time in frame.history
        ]
        if frame.error:
            answer["error"] = {"code": 2, "message": frame.error}
        return answer

    def read_log(self, _: Request, run_id: str, node: str) -> str:
        """As the real one: status 200 comes first, and an error behind it as JSON."""
        if self.through_ui:
            raise Refused(404, "<html>Cannot GET</html>", plain=True)
        _one(self.runs, "run_id", run_id)
        for part, text in self.logs.items():
            if part in node:
                return text
        error = f'Failed to read logs for run {run_id}: pods "{node}" not found'
        return json.dumps({"error_message": error, "error_details": f"{error}\nstack trace"})

    def read_pod_log(self, request: Request) -> str:
        """The UI's way (frontend/server/handlers/pod-logs.ts, workflow-helper.ts)."""
        if self.multi_user and "podnamespace" not in request.query:
            raise Refused(422, "podnamespace argument is required", plain=True)
        workflow, _, number = request.query["podname"].partition("-system-container-impl-")
        for part, text in self.logs.items():
            if self.through_ui and number and part in f"{workflow}-{number}":
                return text
        raise Refused(500, "Could not get main container logs: Error: no workflow", plain=True)

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
    ("GET", "/apis/v1alpha1/runs/([^/]+)/nodes/([^/]+)/log", KfpServer.read_log),
    ("GET", "/k8s/pod/logs", KfpServer.read_pod_log),
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


@contextmanager
def serve(certificate: Path | None = None, key: Path | None = None) -> Iterator[KfpServer]:
    """Run a server on a free port of loopback, with TLS if there is a certificate."""
    kfp = KfpServer()
    with listen(kfp, certificate, key):
        yield kfp
