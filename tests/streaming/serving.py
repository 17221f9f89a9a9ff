"""A server in the test's own process, and writes that the test holds and counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest

from vecgate.v1.collection_pb2 import CreateCollectionRequest, Unbound
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate_backends.answers import WriteResult
from vecgate_backends.memory.collection import MemoryCollection
from vecgate_backends.records import RecordBatch
from vecgate_server.app import Server
from vecgate_server.config import Settings
from vecgate_server.encoders.base import Models

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub

NOTES = CreateCollectionRequest(name="notes", unbound=Unbound(dimension=2))
MODEL_NOTES = CreateCollectionRequest(name="notes")


@asynccontextmanager
async def serving(
    collection: CreateCollectionRequest = NOTES, *, models: Models | None = None, grace: float = 60, **limits: float
) -> AsyncIterator[tuple[Server, VectorSearchServiceAsyncStub]]:
    """Serve the memory backend with one collection; the server is stopped without grace, unless the test stops it."""
    settings = {
        "server": {"port": 0, "shutdown_grace_seconds": grace},
        "backends": {"memory": {"kind": "memory"}},
        "models": {"preload": []},
        "limits": limits,
    }
    server = Server(Settings.model_validate(settings), models=models)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = VectorSearchServiceStub(channel)
            await stub.CreateCollection(collection)
            yield server, stub
    finally:
        await server.stop(grace=0)


class HeldWrites:
    """The writes of the memory backend: counted, and held or failed on demand.

    Attributes:
        written: the ids of each write that was done, in order.
        begun: released with each write that comes.
        fault: raised by writes, if it is not None, for the ids that they are given.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written: list[Sequence[str]] = []
        self.begun = asyncio.Semaphore(0)
        self.fault: Callable[[Sequence[str]], Exception | None] = lambda _: None
        self._released = asyncio.Event()
        self._released.set()
        self._write = MemoryCollection.upsert

        async def upsert(collection: MemoryCollection, *given: Any, **options: Any) -> WriteResult:
            return await self._upsert(collection, *given, **options)

        monkeypatch.setattr(MemoryCollection, "upsert", upsert)

    def hold(self) -> None:
        """Let writes wait from now on."""
        self._released.clear()

    def release(self) -> None:
        """Let them go."""
        self._released.set()

    async def _upsert(
        self, collection: MemoryCollection, namespace: str, batch: RecordBatch, **options: Any
    ) -> WriteResult:
        self.begun.release()
        await self._released.wait()
        fault = self.fault(batch.ids)
        if fault is not None:
            raise fault
        self.written.append(list(batch.ids))
        return await self._write(collection, namespace, batch, **options)
