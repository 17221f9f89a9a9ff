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
from vecgate.v1.server_info_pb2 import GetServerInfoRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub, VectorSearchServiceStub
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
        self.stub: VectorSearchServiceAsyncStub = VectorSearchServiceStub(self._channel)
        self.health_check: grpc.aio.UnaryUnaryMultiCallable[HealthCheckRequest, HealthCheckResponse]
        self.health_check = self._channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )
        self._limits: Limits | None = None

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        deadline: float,
        timeout: float | None = None,
        retry_unavailable: bool = False,
    ) -> Response:
        """Make one call, again where that is safe, within its deadline.

        Args:
            method: of the stub.
            request: its message.
            deadline: seconds, unless `timeout` says otherwise.
            timeout: seconds, as the caller of the client gave it.
            retry_unavailable: whether doing the request twice is the same as doing it once.

        Raises:
            VecgateError: of the class that belongs to the status code.
        """
        end = time.monotonic() + (deadline if timeout is None else check_timeout(timeout))
        backoff = pauses()
        while True:
            try:
                return await method(request, timeout=max(end - time.monotonic(), 0.0))
            except grpc.aio.AioRpcError as failure:
                error = error_from_call(failure, self.target)
                pause = pause_before_retry(
                    error, backoff, retry_unavailable=retry_unavailable, remaining=end - time.monotonic()
                )
                if pause is None:
                    raise error from failure
            await asyncio.sleep(pause)

    async def limits(self) -> Limits:
        """Return the server's limits, asked for once."""
        if self._limits is None:
            response = await self.call(self.stub.GetServerInfo, GetServerInfoRequest(), deadline=self.deadlines.read)
            self._limits = server_info_from(response).limits
        return self._limits

    async def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        await self._channel.close()


class AsyncConnected:
    """A part of the client's face: has the connection, adds methods."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
