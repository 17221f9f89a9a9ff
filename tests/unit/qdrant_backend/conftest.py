"""An emulated server for each test, and backends on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from emulators.qdrant_server import QdrantEmulator

from vecgate_backends.qdrant import QdrantBackend, QdrantOptions

StartBackend = Callable[..., Awaitable[QdrantBackend]]


@pytest.fixture
def emulator() -> Iterator[QdrantEmulator]:
    server = QdrantEmulator()
    yield server
    server.stop()


@pytest.fixture
async def start_backend(emulator: QdrantEmulator) -> AsyncIterator[StartBackend]:
    """Start a backend on the emulator, with these options beside its address."""
    started: list[QdrantBackend] = []

    async def start(**options: Any) -> QdrantBackend:
        here: dict[str, Any] = {"host": "127.0.0.1", "grpc_port": emulator.port}
        backend = QdrantBackend(QdrantOptions(**(here | options)))
        await backend.start()
        started.append(backend)
        return backend

    yield start
    for backend in started:
        await backend.close()


@pytest.fixture
async def backend(start_backend: StartBackend) -> QdrantBackend:
    return await start_backend()
