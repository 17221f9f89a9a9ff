"""An emulator for each test, and backends on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from emulators.pinecone import Emulator
from pydantic import SecretStr

from vecgate_backends.pinecone import PineconeBackend, PineconeOptions

KEY = "pcsk_test_key"
StartBackend = Callable[..., Awaitable[PineconeBackend]]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as server:
        server.project(KEY)
        yield server


@pytest.fixture
async def start_backend(emulator: Emulator) -> AsyncIterator[StartBackend]:
    """Start a backend on the emulator, with these options beside its address and key."""
    started: list[PineconeBackend] = []

    async def start(**options: Any) -> PineconeBackend:
        here: dict[str, Any] = {"controller_url": emulator.url, "api_key": SecretStr(KEY)}
        backend = PineconeBackend(PineconeOptions(**(here | options)))
        await backend.start()
        started.append(backend)
        return backend

    yield start
    for backend in started:
        await backend.close()


@pytest.fixture
async def backend(start_backend: StartBackend) -> PineconeBackend:
    return await start_backend()
