"""A second port that answers grpc.health.v1 in plain text and nothing else: kubelet's gRPC probes speak no TLS and carry no keys."""

from __future__ import annotations

import logging

import grpc.aio
from grpc_health.v1 import health_pb2_grpc

from vecgate_server.health import HealthService
from vecgate_server.listening import HEALTH_SETTINGS, KEPT_ALIVE, listen, sharing_option

LARGEST_REQUEST_BYTES = 4_096
"""A request holds the name of a service."""
MOST_STREAMS = 100
"""Of one connection at once, Watches among them."""
OPTIONS = (
    ("grpc.max_receive_message_length", LARGEST_REQUEST_BYTES),
    ("grpc.max_concurrent_streams", MOST_STREAMS),
    *KEPT_ALIVE,
)

log = logging.getLogger(__name__)


class HealthPort:
    """Listens beside the server, on the same event loop: while that is held up, neither answers, and a probe notices."""

    def __init__(self, host: str, port: int, health: HealthService, *, shared: bool) -> None:
        """Build it; nothing is opened yet.

        Args:
            host: where to listen.
            port: 0 lets the system pick one.
            health: answers.
            shared: whether the port is reserved for several processes, of which this is one.
        """
        self._host = host
        self._port = port
        self._health = health
        self._shared = shared
        self._grpc: grpc.aio.Server | None = None
        self.address = ""

    async def start(self) -> None:
        """Listen.

        Raises:
            ListenError: the address is in use or not of this machine.
        """
        server = self._grpc = grpc.aio.server(options=(*OPTIONS, sharing_option(shared=self._shared)))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        self.address = listen(server, self._host, self._port, HEALTH_SETTINGS, shared=self._shared)
        await server.start()
        log.info("health is told on %s", self.address)

    async def stop(self) -> None:
        """Close it at once; idempotent."""
        if self._grpc:
            await self._grpc.stop(0)
            self._grpc = None
