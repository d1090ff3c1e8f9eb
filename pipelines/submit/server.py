"""Calls to the Kubeflow Pipelines API v2beta1, each with an error that says what to do."""

import json
import time
from collections.abc import Callable
from typing import Any

import kfp_server_api
import urllib3

from components.errors import InputError
from pipelines.submit.connection import Connection
from pipelines.submit.errors import ServerError, not_kfp, one_line, unreachable
from pipelines.submit.login import find_login, secrets
from pipelines.submit.refusal import refused, server_message

CONNECT_S, READ_S = 10.0, 60.0
"""How long a connection and an answer are waited for."""
ATTEMPTS = 4
PAUSE_S = 1.0
"""The pause before a call is repeated the first time; it doubles each time."""
_LONGEST_PAUSE = 60.0


class Server:
    """A server that has answered: it is there, speaks the API and lets us in.

    Nothing of the environment is used but the login: no proxy, no kube config, no kfp context.

    Raises:
        InputError: the connection is wrong, or the server cannot be used.
    """

    def __init__(self, connection: Connection, sleep: Callable[[float], None] = time.sleep) -> None:
        self.connection = connection
        self.host = connection.host
        self.ui = connection.ui or connection.host
        self.sleep = sleep
        self._login = find_login(connection)
        self._secrets: list[str] = []
        self._client = kfp_server_api.ApiClient(self._configuration())
        self._client.user_agent = "fourstep"
        self.experiments = kfp_server_api.ExperimentServiceApi(self._client)
        self.pipelines = kfp_server_api.PipelineServiceApi(self._client)
        self.uploads = kfp_server_api.PipelineUploadServiceApi(self._client)
        self.runs = kfp_server_api.RunServiceApi(self._client)
        health = self._health()
        self.multi_user = bool(health.get("multi_user"))
        self.version = str(health.get("tag_name") or health.get("apiServerTagName") or "")
        """The tag of the API server's image; "unknown" if it was built without."""

    @property
    def namespace(self) -> str | None:
        """The namespace to send: a server for one user refuses calls that name one.

        Raises:
            InputError: the server is for many users, and none was given.
        """
        if self.multi_user and not self.connection.namespace:
            raise InputError(
                f"{self.host}: this server keeps its users apart; name yours with --namespace"
            )
        return self.connection.namespace if self.multi_user else None

    @property
    def in_namespace(self) -> dict[str, str]:
        """The namespace as an argument of calls and models; empty if none is sent."""
        return {"namespace": self.namespace} if self.namespace else {}

    def call(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """One call of a kfp_server_api method; its answer as a model.

        Raises:
            ServerError: there was no answer, or it was not a good one.
        """
        self._log_in()
        try:
            answer = function(*arguments, _request_timeout=(CONNECT_S, READ_S), **options)
            self._check_json()
        except kfp_server_api.ApiException as error:
            message = self.clean(server_message(error.body))
            raise refused(error, message, self.connection, self._login) from None
        except urllib3.exceptions.HTTPError as error:
            raise unreachable(self.host, error, READ_S) from None
        except (ValueError, TypeError, AttributeError, KeyError):
            raise not_kfp(self.host) from None
        return answer

    def get(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """A call that only reads, repeated while the failure is a passing one.

        Raises:
            ServerError: as `call`.
        """
        for attempt in range(1, ATTEMPTS):
            try:
                return self.call(function, *arguments, **options)
            except ServerError as error:
                if not error.passing:
                    raise
                self.sleep(self.pause(attempt, error))
        return self.call(function, *arguments, **options)

    def tail(self, path: str, size: int) -> str:
        """The last `size` bytes of the text at a path of the server.

        Raises:
            ServerError: there was no answer, or it was not a good one.
        """
        self._log_in()
        end = b""
        try:
            answer = self._client.rest_client.pool_manager.request(
                "GET",
                self.host + path,
                headers=self._client.default_headers,
                timeout=urllib3.Timeout(connect=CONNECT_S, read=READ_S),
                preload_content=False,
            )
            for chunk in answer.stream(size):
                end = (end + chunk)[-size:]
        except urllib3.exceptions.HTTPError as error:
            raise unreachable(self.host, error, READ_S) from None
        text = end.decode(errors="replace")
        if answer.status != 200:
            plain = "" if "<" in text else text
            message = self.clean(server_message(text) or plain)
            raise refused(answer, message, self.connection, self._login)
        return text

    def pages(self, function: Callable[..., Any], field: str, *ids: str, **options: Any) -> list:
        """All items of a list, page by page."""
        items: list[Any] = []
        token = ""
        while True:
            answer = self.get(function, *ids, page_size=100, page_token=token, **options)
            items += getattr(answer, field) or []
            token = answer.next_page_token
            if not token:
                return items

    def named(
        self, function: Callable[..., Any], field: str, name: str, *ids: str, **options: Any
    ) -> list:
        """All items of a list whose display name is this one."""
        predicate = kfp_server_api.V2beta1Predicate(
            operation="EQUALS", key="display_name", string_value=name
        )
        wanted = self._client.sanitize_for_serialization(
            kfp_server_api.V2beta1Filter(predicates=[predicate])
        )
        found = self.pages(function, field, *ids, filter=json.dumps(wanted), **options)
        return [item for item in found if item.display_name == name]

    def find(
        self, function: Callable[..., Any], field: str, name: str, *ids: str, **options: Any
    ) -> Any | None:
        """The item of a list whose display name is this one; None if there is none.

        Raises:
            InputError: several have it.
        """
        found = self.named(function, field, name, *ids, **options)
        if len(found) > 1:
            kind = field.replace("_", " ")
            raise InputError(
                f"{self.host}: {len(found)} {kind} have the name '{name}'; "
                "delete all but one in the UI"
            )
        return found[0] if found else None

    def pause(self, attempt: int, error: ServerError) -> float:
        """Seconds to wait after the nth failure in a row; what the server asks for comes first."""
        if error.retry_after is not None:
            return min(error.retry_after, 5 * _LONGEST_PAUSE)
        return min(PAUSE_S * 2.0 ** min(attempt - 1, 10), _LONGEST_PAUSE)

    def run_link(self, run_id: str) -> str:
        """Where the UI shows a run."""
        return f"{self.ui}/#/runs/details/{run_id}"

    def experiment_link(self, experiment_id: str) -> str:
        """Where the UI lists the runs of an experiment."""
        return f"{self.ui}/#/experiments/details/{experiment_id}"

    def clean(self, text: str) -> str:
        """A text of the server's as one line, without our token or cookie."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return one_line(text)

    def _check_json(self) -> dict[str, Any]:
        """The answer as it came; the generated client takes a page of HTML for an empty model."""
        answer = json.loads(self._client.last_response.data)
        if not isinstance(answer, dict):
            raise ValueError("no JSON object")
        return answer

    def _configuration(self) -> Any:
        configuration = kfp_server_api.Configuration(host=self.host)
        # The client's own repeats would hide how often a POST was sent; a redirect is a login page.
        configuration.retries = urllib3.Retry(total=0, redirect=False)
        if self.connection.ca_bundle:
            configuration.ssl_ca_cert = str(self.connection.ca_bundle)
        return configuration

    def _log_in(self) -> None:
        """Read the login again before each call; the old one stays while the file is replaced."""
        if self._login is None:
            return
        try:
            headers = self._login.headers()
        except InputError:
            return
        self._client.default_headers.update(headers)
        self._secrets = secrets(headers)

    def _health(self) -> dict[str, Any]:
        """What the server says of itself; the generated model leaves out its version.

        Kubeflow's UI answers in the API server's place: with other names, and alone if it must.
        """
        service = kfp_server_api.HealthzServiceApi(self._client)
        try:
            self.call(service.healthz_service_get_healthz)
        except ServerError as error:
            if error.status == 404:
                raise not_kfp(self.host) from None
            raise
        health = self._check_json()
        if health.get("apiServerReady") is False:
            raise ServerError(
                f"{self.host}: Kubeflow's UI answers, but the API server behind it does not; try "
                "again, and look at the deployment ml-pipeline"
            )
        return health
