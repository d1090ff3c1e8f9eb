"""HTTP on loopback for the tests' Kubeflow Pipelines API server, and what can go wrong on it."""

import json
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

HTML = b"<html><body>Please log in</body></html>"


class Refused(Exception):  # noqa: N818 (it reads as what happened)
    """An answer that is an error, in the form of grpc-gateway."""

    def __init__(self, status: int, message: str, *, upload: bool = False, plain: bool = False):
        self.status = status
        self.body: Any = {"error": message, "code": 3, "message": message, "details": []}
        if upload:
            self.body = {"error_message": message, "error_details": f"{message}\nstack trace"}
        if plain:
            self.body = message


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
class Request:
    method: str
    path: str
    query: dict[str, str]
    token: str | None
    cookie: str | None
    body: Any


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    kfp: Any
    """It answers requests."""

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
                status, answer = self.kfp.answer(request)
        if fault is None:
            text = answer if isinstance(answer, str) else json.dumps(answer)
            self._send(status, text.encode(), {"Content-Type": "application/json"})
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
            cookie=self.headers.get("Cookie"),
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

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def listen(kfp: Any, certificate: Path | None, key: Path | None) -> Iterator[None]:
    """Answer on a free port of loopback, with TLS if there is a certificate."""
    handler = type("Handler", (Handler,), {"kfp": kfp})
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
            yield
        finally:
            kfp.closing.set()
            http.shutdown()
            thread.join()
