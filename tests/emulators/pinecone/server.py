"""The emulator's HTTP server: one thread a connection, all of them under one lock."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from emulators.pinecone.control_plane import Project
from emulators.pinecone.data_plane import MOST_BODY_BYTES, MOST_URL_BYTES, Lag
from emulators.pinecone.faults import Fault
from emulators.pinecone.refusal import RefusalError

API_VERSION = "2026-07"


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    size: int


class Emulator:
    """Pinecone on a port of loopback; a context manager. Every API key is a project of its own.

    With `remember` it keeps every request as `seen`.
    """

    def __init__(self, address: str = "127.0.0.1", *, remember: bool = True) -> None:
        self.remember = remember
        self.projects: dict[str, Project] = {}
        self.faults: list[Fault] = []
        self.seen: list[SeenRequest] = []
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self._server = _Server((address, 0), _Handler)
        self._server.emulator = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Answer nothing more; who connects is refused."""
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def project(self, api_key: str, *, lag: Lag | None = None, ready_after: int = 0) -> Project:
        """Return the project of a key; make it if there is none."""
        with self.lock:
            if api_key not in self.projects:
                self.projects[api_key] = Project(self.url, lag or Lag(), ready_after)
            return self.projects[api_key]

    def requests_to(self, path: str) -> list[SeenRequest]:
        """Return the requests whose path ends so."""
        with self.lock:
            return [request for request in self.seen if request.path.endswith(path)]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    emulator: Emulator

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def do_GET(self) -> None:  # the library's name
        self._handle()

    do_POST = do_DELETE = do_GET  # noqa: N815  # the library's names

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def _handle(self) -> None:
        emulator = self.server.emulator
        if emulator.stopping.is_set():
            self.close_connection = True
            return
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        content = _decoded(raw)
        address = urlsplit(self.path)
        path = unquote(address.path)
        with emulator.lock:
            if emulator.remember:
                emulator.seen.append(SeenRequest(self.command, path, dict(self.headers), content, len(raw)))
            fault = next((each for each in emulator.faults if each.strikes(path)), None)
        if fault is not None and not fault.after_effect:
            self._fail(fault)
            return
        control = not path.startswith("/index/")
        try:
            self._check(address.query, len(raw), content, control)
            with emulator.lock:
                status, body, headers = self._route(path, parse_qs(address.query), content)
        except RefusalError as refusal:
            status, headers = refusal.status, {}
            body = refusal.control_plane_body() if control else refusal.data_plane_body()
        if fault is not None:
            self._fail(fault)
            return
        self._reply(status, body, headers)

    def _check(self, query: str, size: int, content: Any, control: bool) -> None:
        if self.headers.get("Api-Key") not in self.server.emulator.projects:
            raise RefusalError(401, "Invalid API key")
        if self.headers.get("X-Pinecone-Api-Version") != API_VERSION:
            raise RefusalError(400, f"X-Pinecone-Api-Version must be {API_VERSION}")
        if size > MOST_BODY_BYTES and not control:
            raise RefusalError(413, f"Request size {size} exceeds the limit of {MOST_BODY_BYTES} bytes")
        if len(query) > MOST_URL_BYTES:
            raise RefusalError(414, "URI too long")
        if not isinstance(content, dict):
            raise RefusalError(400, "the body must be a JSON object")

    def _route(self, path: str, parameters: dict[str, Any], body: Any) -> tuple[int, Any, Mapping[str, str]]:
        project = self.server.emulator.projects[self.headers["Api-Key"]]
        project.requests += 1
        match self.command, path.split("/")[1:]:
            case "POST", ["indexes"]:
                return 201, project.create(body), {}
            case "GET", ["indexes"]:
                return 200, project.list(), {}
            case "GET", ["indexes", name]:
                return 200, project.describe(name), {}
            case "DELETE", ["indexes", name]:
                project.delete(name)
                return 202, None, {}
            case method, ["index", serial, *rest]:
                data = project.data_plane(serial)
                handler = data.routes.get((method, "/" + "/".join(rest)))
                if handler is None:
                    raise RefusalError(404, f"{method} {path} is not here")
                answer = handler(parameters if method == "GET" else body)
                return 200, answer.body, answer.headers
        raise RefusalError(404, f"{self.command} {path} is not here")

    def _fail(self, fault: Fault) -> None:
        if fault.hang:
            self.server.emulator.stopping.wait(60)
        if fault.hang or not fault.status:
            self.close_connection = True
            return
        self._reply(fault.status, fault.body, fault.headers)

    def _reply(self, status: int, body: Any, headers: Mapping[str, str]) -> None:
        payload = b"" if body is None else orjson.dumps(body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)
        self.wfile.flush()


def _decoded(raw: bytes) -> Any:
    try:
        return orjson.loads(raw) if raw else {}
    except ValueError:
        return None
