"""A stand-in for the hub, over a directory."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """The part of the hub's protocol that a download uses, over a directory."""

    def __init__(self, repository: str, directory: Path) -> None:
        self.repository = repository
        self.files = {str(path.relative_to(directory)): path for path in directory.rglob("*") if path.is_file()}
        self.fetched: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._answer(with_body=False)

            def do_GET(self) -> None:
                self._answer(with_body=True)

            def _answer(self, *, with_body: bool) -> None:
                path = self.path.partition("?")[0]
                if path.startswith(f"/api/models/{hub.repository}"):
                    self._send(json.dumps(hub.description(path)).encode(), {"Content-Type": "application/json"})
                    return
                name = path.removeprefix(f"/{hub.repository}/resolve/{COMMIT}/")
                if name not in hub.files:
                    self.send_response(404)
                    self.send_header("X-Error-Code", "RepoNotFound" if path.startswith("/api/") else "EntryNotFound")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                content = hub.files[name].read_bytes()
                if with_body:
                    hub.fetched.add(name)
                etag = hashlib.sha256(content).hexdigest()
                self._send(content if with_body else b"", {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}, len(content))

            def _send(self, body: bytes, headers: dict[str, str], length: int | None = None) -> None:
                self.send_response(200)
                for name, value in {**headers, "Content-Length": str(length or len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        return Handler

    def description(self, path: str) -> object:
        if "/tree/" in path:
            return [
                {"type": "file", "path": name, "size": file.stat().st_size, "oid": hashlib.sha1(b"").hexdigest()}
                for name, file in self.files.items()
            ]
        return {"id": self.repository, "sha": COMMIT, "siblings": [{"rfilename": name} for name in self.files]}


@pytest.fixture
def open_hub() -> Callable[[str, Path], Hub]:
    """Makes a hub with one repository; it runs while it is a context."""
    return Hub
