"""How many calls a client makes at once: what is asked for beyond that waits in it, within its deadline.

A server lets only so many calls wait for it (its `limits.max_waiting_calls`), and drops some of those that come beyond.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeVar

import grpc
import grpc.aio

CALLS_AT_ONCE = 128
"""Half of the calls that a server lets wait by default: from there on it drops some."""

Request = TypeVar("Request")
Response = TypeVar("Response")


class Turns:
    """The places of a blocking client."""

    def __init__(self) -> None:
        self._places = threading.Semaphore(CALLS_AT_ONCE)

    def ask(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        end: float,
        metadata: Sequence[tuple[str, str]],
    ) -> Response:
        """Make a call in its turn; gRPC says so if its time is over by then.

        Args:
            method: of the stub.
            request: its message.
            end: on time.monotonic(), when its deadline is.
            metadata: what it carries.

        Raises:
            grpc.RpcError: it failed.
        """
        placed = self._places.acquire(timeout=max(end - time.monotonic(), 0.0))
        try:
            return method(request, timeout=max(end - time.monotonic(), 0.0), metadata=tuple(metadata))
        finally:
            if placed:
                self._places.release()


class AsyncTurns:
    """The places of an asynchronous client; as Turns."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(CALLS_AT_ONCE)

    async def ask(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        end: float,
        metadata: Sequence[tuple[str, str]],
    ) -> Response:
        """Make a call in its turn; raises grpc.aio.AioRpcError."""
        # Without a wait in the usual case, since a timer costs more than the place.
        placed = not self._places.locked() and await self._places.acquire()
        if not placed:
            with suppress(TimeoutError):
                async with asyncio.timeout(end - time.monotonic()):
                    placed = await self._places.acquire()
        try:
            return await method(request, timeout=max(end - time.monotonic(), 0.0), metadata=tuple(metadata))
        finally:
            if placed:
                self._places.release()
