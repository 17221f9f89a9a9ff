"""The connections of a store that belongs to a framework: one blocking client, and one asynchronous client an event loop.

Frameworks make their stores anywhere, often before a loop runs, and call them from threads and from loops that come and
go; so clients are made when they are first needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from inspect import signature
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from vecgate.aio import AsyncClient
from vecgate.channel import check_target
from vecgate.client import Client

IDS_OF_ONE_REQUEST = 256
"""Ids of one delete or get: below every customary limit of a server, so that none has to be asked for."""


class StoreClients:
    """Clients of one server, made at their first use. Showing it never shows a credential."""

    def __init__(self, target: str, options: Mapping[str, Any]) -> None:
        """Remember how to reach the server; nothing is sent.

        Args:
            target: host:port, or any gRPC target.
            options: further arguments of vecgate.Client, such as deadlines; None values are left out.

        Raises:
            InvalidArgumentError: the target is no address.
            TypeError: the client has no such argument.
        """
        self.target = check_target(target)
        self._options = {name: value for name, value in options.items() if value is not None}
        signature(Client).bind(target, **self._options)
        self._blocking: Client | None = None
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncClient] = WeakKeyDictionary()
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.target!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> StoreClients:
        """Give the copy connections of its own: a channel cannot be copied."""
        return StoreClients(self.target, self._options)

    @property
    def blocking(self) -> Client:
        """The blocking client, for any thread."""
        with self._lock:
            if self._blocking is None:
                self._blocking = Client(self.target, **self._options)
            return self._blocking

    @property
    def asynchronous(self) -> AsyncClient:
        """The asynchronous client of the running event loop.

        Raises:
            RuntimeError: no event loop runs.
        """
        loop = asyncio.get_running_loop()
        with self._lock:
            client = self._by_loop.get(loop)
            if client is None:
                client = self._by_loop[loop] = AsyncClient(self.target, **self._options)
            return client

    def close(self) -> None:
        """Close the blocking client. A later use makes another."""
        with self._lock:
            client, self._blocking = self._blocking, None
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        """Close the running loop's client, and the blocking one. A later use makes others."""
        with self._lock:
            client = self._by_loop.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()
        self.close()


def id_chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut ids into lists of a size that one request takes."""
    for start in range(0, len(ids), IDS_OF_ONE_REQUEST):
        yield ids[start : start + IDS_OF_ONE_REQUEST]
