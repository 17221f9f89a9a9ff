"""Asking a server what it is and whether it is ready."""

# ruff: noqa: ASYNC109  # a timeout is told to the server, it is no cancellation here

from __future__ import annotations

import asyncio
import time

from grpc_health.v1.health_pb2 import HealthCheckRequest

from vecgate.aio.connection import AsyncConnected
from vecgate.channel import check_timeout
from vecgate.errors import DeadlineExceededError, NotFoundError, TlsError, UnavailableError
from vecgate.server_info import ModelInfo, ServerInfo, ServingStatus
from vecgate.v1.model_pb2 import ListModelsRequest
from vecgate.v1.server_info_pb2 import GetServerInfoRequest
from vecgate.wire.server import model_info_from, server_info_from, serving_status_from

READINESS_POLL_S = 0.1
"""Seconds between two questions whether a server is ready."""


class AsyncServer(AsyncConnected):
    """The client's methods about the server."""

    async def server_info(self, *, timeout: float | None = None) -> ServerInfo:
        """Return the server's version, defaults, backends with their capabilities, and limits.

        >>> (await client.server_info()).default_backend
        'faiss'

        Args:
            timeout: seconds.
        """
        response = await self._connection.read(self._connection.stub.GetServerInfo, GetServerInfoRequest(), timeout)
        return server_info_from(response)

    async def list_models(self, *, timeout: float | None = None) -> tuple[ModelInfo, ...]:
        """Return the models the server is configured for, the default first.

        >>> (await client.list_models())[0].name
        'all-MiniLM-L6-v2'

        Args:
            timeout: seconds.
        """
        response = await self._connection.read(self._connection.stub.ListModels, ListModelsRequest(), timeout)
        return tuple(model_info_from(message) for message in response.models)

    async def health(self, service: str = "", *, timeout: float | None = None) -> ServingStatus:
        """Ask grpc.health.v1 whether the server serves: models warm, backends answering, not shutting down.

        >>> (await client.health()).value
        'serving'

        Args:
            service: "" for the server as a whole, "vecgate.v1.VectorSearchService", or "backend." and a backend's name.
            timeout: seconds.

        Returns:
            UNKNOWN also for a service the server does not have.

        Raises:
            UnavailableError: no server there.
        """
        try:
            response = await self._connection.call(
                self._connection.usable_parts().health_check,
                HealthCheckRequest(service=service),
                self._connection.deadlines.read if timeout is None else timeout,
            )
        except NotFoundError:
            return ServingStatus.UNKNOWN
        return serving_status_from(response)

    async def wait_ready(self, timeout: float = 60.0) -> None:
        """Wait until the server is there and serves.

        >>> await client.wait_ready(timeout=30)

        Args:
            timeout: seconds; a server that loads its model at the start needs some.

        Raises:
            DeadlineExceededError: it did not in time; the message says what it answered last.
            TlsError: the two sides do not agree on TLS, so that waiting is in vain.
        """
        end = time.monotonic() + check_timeout(timeout)
        last = "no answer"
        while (remaining := end - time.monotonic()) > 0:
            try:
                status = await self.health(timeout=remaining)
            except TlsError:
                raise
            except (UnavailableError, DeadlineExceededError) as error:
                last = error.message
            else:
                if status is ServingStatus.SERVING:
                    return
                last = status.value
            await asyncio.sleep(min(READINESS_POLL_S, max(end - time.monotonic(), 0.0)))
        raise DeadlineExceededError(f"{self._connection.target} was not ready within {timeout:g} s: {last}")
