"""Calls that are under way while their caller does something else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Generic, TypeVar

import grpc
import grpc.aio

Request = TypeVar("Request")
Response = TypeVar("Response")


class BegunCall(Generic[Response]):
    """A call over a blocking channel.

    Attributes:
        end: on time.monotonic(), when its deadline is.
    """

    def __init__(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float,
        metadata: Sequence[tuple[str, str]],
    ) -> None:
        self.end = time.monotonic() + timeout
        self._call = method.future(request, timeout=timeout, metadata=tuple(metadata))

    def answer(self) -> Response:
        """Wait for the answer; raises grpc.RpcError."""
        return self._call.result()

    def cancel(self) -> None:
        """Give it up; nothing happens to one that is over."""
        self._call.cancel()


class AsyncBegunCall(Generic[Response]):
    """A call over an asynchronous channel; as BegunCall."""

    def __init__(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float,
        metadata: Sequence[tuple[str, str]],
    ) -> None:
        self.end = time.monotonic() + timeout
        self._call = method(request, timeout=timeout, metadata=tuple(metadata))

    async def answer(self) -> Response:
        """Wait for the answer; raises grpc.aio.AioRpcError."""
        return await self._call

    def cancel(self) -> None:
        """Give it up; nothing happens to one that is over."""
        self._call.cancel()
