"""Real servers on real sockets.

`start_server` runs `python -m vecgate_server` as a process of its own; it is stopped when the test ends. `memory_server` (no
models) and `model_server` (the real all-MiniLM-L6-v2, Faiss on disk) are such processes that live for the whole session; tests
keep apart by `collection`, a name of their own. `stub` and `model_stub` speak to them from the test's event loop.
"""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub

SERVING = "vecgate-server: serving on "
LOCAL: dict[str, Any] = {"server": {"port": 0, "health_interval_seconds": 0.1}}
NO_MODELS: dict[str, Any] = {"models": {"preload": []}}
MEMORY: dict[str, Any] = {"backends": {"memory": {"kind": "memory"}}}


class ServerProcess:
    """`python -m vecgate_server` on a configuration, serving at `address`."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.configuration = folder / "vecgate.yaml"
        # JSON is YAML too.
        self.configuration.write_text(json.dumps(LOCAL | settings))
        self.log = folder / "server.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vecgate_server", "--config", str(self.configuration)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=folder,
            )
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line.startswith(SERVING):
            self.kill()
            raise AssertionError(f"the server did not start: {line}{self.log.read_text()}")
        self.address = line.removeprefix(SERVING).strip()

    def stop(self) -> int:
        """Send SIGTERM, and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """Send SIGKILL: nothing is flushed, nothing is closed."""
        self.process.kill()
        self.wait()

    def wait(self) -> int:
        """Wait for the end of the process, and return its exit code."""
        code = self.process.wait(timeout=60)
        if self.process.stdout:
            self.process.stdout.close()
        return code


StartServer = Callable[[dict[str, Any]], ServerProcess]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Start a server process on settings; relative paths in them lie in the test's own folder."""
    started: list[ServerProcess] = []

    def start(settings: dict[str, Any]) -> ServerProcess:
        server = ServerProcess(tmp_path, settings)
        started.append(server)
        return server

    yield start
    for server in started:
        if server.process.poll() is None:
            server.kill()
        else:
            server.wait()


@pytest.fixture(scope="session")
def memory_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with the memory backend and no loaded model."""
    server = ServerProcess(tmp_path_factory.mktemp("memory_server"), MEMORY | NO_MODELS)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def model_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server as it is without any configuration: all-MiniLM-L6-v2, and Faiss in ./vecgate-data."""
    server = ServerProcess(tmp_path_factory.mktemp("model_server"), {})
    yield server
    server.stop()


@pytest.fixture
async def stub(memory_server: ServerProcess) -> AsyncIterator[VectorSearchServiceAsyncStub]:
    """The generated stub on the memory server."""
    async with grpc.aio.insecure_channel(memory_server.address) as channel:
        yield VectorSearchServiceStub(channel)


@pytest.fixture
async def model_stub(model_server: ServerProcess) -> AsyncIterator[VectorSearchServiceAsyncStub]:
    """The generated stub on the model server."""
    async with grpc.aio.insecure_channel(model_server.address) as channel:
        yield VectorSearchServiceStub(channel)


_numbers = itertools.count(1)


@pytest.fixture
def collection() -> str:
    """A collection name that no other test uses."""
    return f"collection-{next(_numbers)}"


@dataclass(frozen=True)
class Refusal:
    """How a call was refused: status, ErrorInfo, BadRequest, RetryInfo and the request's id."""

    code: grpc.StatusCode
    message: str
    reason: str
    fields: list[str]
    retry_seconds: float | None
    request_id: str


@pytest.fixture
def refusal() -> Callable[[Awaitable[object]], Awaitable[Refusal]]:
    """Await a call that must be refused, and take the refusal apart."""

    async def refused(call: Awaitable[object]) -> Refusal:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
        return _take_apart(raised.value)

    return refused


def _take_apart(error: grpc.aio.AioRpcError) -> Refusal:
    trailing = dict(error.trailing_metadata() or ())
    status = Status.FromString(trailing.get("grpc-status-details-bin", b""))
    info, request, retry = ErrorInfo(), BadRequest(), RetryInfo()
    for detail in status.details:
        for kind in (info, request, retry):
            detail.Unpack(kind)
    assert not status.details or (info.domain, status.message) == ("vecgate", error.details())
    return Refusal(
        error.code(),
        error.details() or "",
        info.reason,
        [violation.field for violation in request.field_violations],
        retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None,
        str(trailing.get("x-request-id", "")),
    )
