"""Calls to real servers on real sockets.

`stub` and `model_stub` speak from the test's event loop to the servers of the session; tests keep apart by `collection`, a name of
their own. `vecgate` runs command lines, `client` is the blocking client; both speak to the memory server. `refusal` takes a refused call apart.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from command_line import Vecgate, running
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from vecgate import Client
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub


@pytest.fixture
async def stub(memory_server: Any) -> AsyncIterator[VectorSearchServiceAsyncStub]:
    """The generated stub on the memory server."""
    async with grpc.aio.insecure_channel(memory_server.address) as channel:
        yield VectorSearchServiceStub(channel)


@pytest.fixture
async def model_stub(model_server: Any) -> AsyncIterator[VectorSearchServiceAsyncStub]:
    """The generated stub on the model server."""
    async with grpc.aio.insecure_channel(model_server.address) as channel:
        yield VectorSearchServiceStub(channel)


_numbers = itertools.count(1)


@pytest.fixture
def collection() -> str:
    """A collection name that no other test uses."""
    return f"collection-{next(_numbers)}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in with the command line, which remembers interrupted runs there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VECGATE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("VECGATE_TARGET", raising=False)
    return tmp_path


@pytest.fixture
def vecgate(memory_server: Any, folder: Path, capfd: pytest.CaptureFixture[str]) -> Vecgate:
    """Run a command line against the memory server."""
    return running(memory_server.address, capfd)


@pytest.fixture
def client(memory_server: Any) -> Iterator[Client]:
    """The blocking client on the memory server."""
    with Client(memory_server.address) as client:
        client.wait_ready()
        yield client


@pytest.fixture
def docs(client: Client, collection: str) -> str:
    """A collection of two-dimensional vectors."""
    client.create_collection(collection, dimension=2)
    return collection


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
