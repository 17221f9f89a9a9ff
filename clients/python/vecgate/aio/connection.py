"""One channel and the calls over it: deadlines, retries, errors."""

# ruff: noqa: ASYNC109  # a timeout is told to the server, it is no cancellation here

from __future__ import annotations

import asyncio
import time
from typing import TypeVar

import grpc.aio
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from vecgate.channel import Deadlines, check_timeout, open_async_channel, pause_before_retry, pauses
from vecgate.server_info import Limits
from vecgate.upsert_stream.async_calls import AsyncStreamCall
from vecgate.v1.server_info_pb2 import GetServerInfoRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate.wire.server import server_info_from
from vecgate.wire.status import error_from_call

Request = TypeVar("Request")
Response = TypeVar("Response")


class AsyncConnection:
    """The channel of a client."""

    def __init__(self, target: str, deadlines: Deadlines) -> None:
        self.target = target
        self.deadlines = deadlines
        self._channel = open_async_channel(target)
        self.stub = VectorSearchServiceStub(self._channel)
        self.health_check: grpc.aio.UnaryUnaryMultiCallable[HealthCheckRequest, HealthCheckResponse]
        self.health_check = self._channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )
        self._limits: Limits | None = None
        self._closed = False

    async def read(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float | None,
    ) -> Response:
        """Make a call that reads; `timeout` None: deadlines.read."""
        return await self.call(method, request, self.deadlines.read if timeout is None else timeout)

    async def bulk(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float | None,
        *,
        repeatable: bool = False,
    ) -> Response:
        """Make a call about many items; `timeout` None: deadlines.bulk."""
        seconds = self.deadlines.bulk if timeout is None else timeout
        return await self.call(method, request, seconds, repeatable=repeatable)

    async def admin(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float | None,
    ) -> Response:
        """Make a call about a whole collection; `timeout` None: deadlines.admin."""
        return await self.call(method, request, self.deadlines.admin if timeout is None else timeout)

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float,
        *,
        repeatable: bool = False,
    ) -> Response:
        """Make one call, again where that is safe, within its deadline.

        Args:
            method: of the stub.
            request: its message.
            timeout: seconds for all attempts together.
            repeatable: doing the request twice is the same as doing it once, though gRPC cannot know.

        Raises:
            VecgateError: of the class that belongs to the status code.
            RuntimeError: the connection is closed.
        """
        if self._closed:
            raise RuntimeError("this client is closed; make another")
        end = time.monotonic() + check_timeout(timeout)
        backoff = pauses()
        while True:
            try:
                return await method(request, timeout=max(end - time.monotonic(), 0.0))
            except grpc.aio.AioRpcError as failure:
                error = error_from_call(failure, self.target)
                remaining = end - time.monotonic()
                pause = pause_before_retry(error, backoff, repeatable=repeatable, remaining=remaining)
                if pause is None:
                    raise error from failure
            await asyncio.sleep(pause)

    def stream(
        self, method: grpc.aio.StreamStreamMultiCallable[Request, Response]
    ) -> AsyncStreamCall[Request, Response]:
        """Prepare a call in which both sides send as they like; it begins with the with-block it is for.

        Raises:
            RuntimeError: the connection is closed.
        """
        if self._closed:
            raise RuntimeError("this client is closed; make another")
        return AsyncStreamCall(method, self.target)

    async def pause(self, seconds: float) -> None:
        """Wait before another attempt."""
        await asyncio.sleep(seconds)

    async def limits(self) -> Limits:
        """Return the server's limits, asked for once."""
        if self._limits is None:
            response = await self.read(self.stub.GetServerInfo, GetServerInfoRequest(), None)
            self._limits = server_info_from(response).limits
        return self._limits

    async def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        self._closed = True
        await self._channel.close()


class AsyncConnected:
    """A part of the client's face: has the connection, adds methods."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
