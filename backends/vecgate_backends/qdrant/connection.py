"""The one way to Qdrant: deadlines, retries, errors translated, and an end that waits for writes under way."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeAlias

from qdrant_client import AsyncQdrantClient, QdrantClient

from vecgate_backends.errors import BackendUnavailableError
from vecgate_backends.qdrant.faults import fault_of, start_fault
from vecgate_backends.qdrant.options import QdrantOptions

Operation: TypeAlias = Callable[[Any], Any]
"""What to ask of a client: takes QdrantClient or AsyncQdrantClient, whose methods have the same names and arguments."""

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
"""A pause that Qdrant asks for and that is longer is left to the caller, who learns of it by retry_after."""

_GRPC_OPTIONS = {
    # Without these gRPC stays away from a restarted server for up to two minutes.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 2_000,
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
}


class RemoteClient:
    """The client of a server; its calls are awaited on the event loop."""

    def __init__(self, options: QdrantOptions) -> None:
        where: dict[str, Any] = {"url": options.url} if options.url else {"host": options.host, "https": options.https}
        key = options.api_key.get_secret_value()
        # The client warns of a key that travels unencrypted; the configuration's page does so, too. As metadata it is silent.
        self._client = AsyncQdrantClient(
            **where,
            port=options.port,
            grpc_port=options.grpc_port,
            headers={"api-key": key} if key else None,
            prefer_grpc=True,
            check_compatibility=False,
            timeout=math.ceil(max(options.timeout_seconds, options.write_timeout_seconds)) + 1,
            pool_size=options.connections,
            grpc_options=dict(_GRPC_OPTIONS),
        )

    async def run(self, operation: Operation) -> Any:
        """Make one call."""
        return await operation(self._client)

    async def close(self) -> None:
        """Close the channels."""
        await self._client.close()


class LocalClient:
    """The client's own engine on a thread of its own, since it computes inside its calls."""

    def __init__(self, options: QdrantOptions) -> None:
        self._thread = ThreadPoolExecutor(1, "qdrant")
        self._options = options
        self._client: QdrantClient | None = None

    async def open(self) -> None:
        """Open the directory.

        Raises:
            StoreLockedError, ConfigurationError: it cannot be used.
        """
        where: dict[str, Any] = {"path": self._options.storage_directory()}
        if self._options.in_memory:
            where = {"location": self._options.path}
        try:
            self._client = await self._off_the_loop(partial(QdrantClient, **where))
        except Exception as failure:  # whatever an unreadable directory makes of it
            self._thread.shutdown(wait=False)
            raise start_fault(failure, self._options.place) from failure

    async def run(self, operation: Operation) -> Any:
        """Make one call; calls are made one after the other."""
        return await self._off_the_loop(partial(operation, self._client))

    async def close(self) -> None:
        """Let go of the directory."""
        if self._client is not None:
            await self._off_the_loop(self._client.close)
        self._thread.shutdown()

    async def _off_the_loop(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


class Connection:
    """An open or closed way to Qdrant. Every call ends within its time limit, whatever the other side does."""

    def __init__(self, options: QdrantOptions) -> None:
        self._options = options
        self._client: RemoteClient | LocalClient | None = None
        self._open = False
        self._under_way = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def start(self) -> None:
        """Open the engine, or make the client; a server that is down is found out by the first call."""
        if self._options.local:
            local = LocalClient(self._options)
            await local.open()
            self._client = local
        else:
            self._client = RemoteClient(self._options)
        self._open = True

    async def close(self) -> None:
        """Refuse new work, let writes under way finish within their time limits, and close; idempotent."""
        self._open = False
        await self._quiet.wait()
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def require_open(self) -> None:
        """Raise BackendUnavailableError before start() and once close() was called."""
        if not self._open:
            raise BackendUnavailableError("the qdrant backend is closed")

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Mark a write of several calls as under way, so that close() waits for all of it."""
        self.require_open()
        self._under_way += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._quiet.set()

    async def read(self, operation: Operation) -> Any:
        """Make a call that changes nothing."""
        return await self.call(operation, self._options.timeout_seconds, self._options.attempts)

    async def write(self, operation: Operation) -> Any:
        """Make a call that may be made twice: all that this backend writes has the same effect then."""
        return await self.call(operation, self._options.write_timeout_seconds, self._options.attempts)

    async def call(self, operation: Operation, seconds: float, attempts: int) -> Any:
        """Make a call, again after a pause where that may help, for at most `seconds` in all.

        Raises:
            VecgateError: as faults.fault_of says.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        for attempt in range(1, attempts + 1):
            try:
                async with asyncio.timeout_at(deadline):
                    return await self._require_client().run(operation)
            except Exception as failure:
                fault = fault_of(failure, self._options.place)
                if fault is None:
                    raise
                pause = _pause(attempt, fault.pause_seconds)
                late = loop.time() + pause >= deadline
                if not fault.passing or attempt == attempts or pause > LONGEST_PAUSE_SECONDS or late:
                    raise fault.error from failure
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")  # pragma: no cover  # the last attempt returns or raises

    def _require_client(self) -> RemoteClient | LocalClient:
        if self._client is None:
            raise BackendUnavailableError("the qdrant backend is closed")
        return self._client


def _pause(attempt: int, least: float) -> float:
    """Return how long to wait before the next attempt, at random so that many callers do not come back at once."""
    return max(least, FIRST_PAUSE_SECONDS * 2.0 ** (attempt - 1)) * random.uniform(1.0, 1.5)  # noqa: S311  # spreads callers, hides nothing
