"""Ports of gRPC: bound with a sentence of ours where that fails, and how connections to them are kept."""

from __future__ import annotations

import socket

import grpc
import grpc.aio

from vecgate_backends.errors import ConfigurationError
from vecgate_server.config import LimitSettings, ServerSettings

LARGEST_MESSAGE = 2**31 - 1
"""Bytes; what gRPC's option for it can say."""
LEAST_PING_INTERVAL_MS = 5_000
"""Between two pings of a client without data; one that pings more often is sent away (GOAWAY with ENHANCE_YOUR_CALM) after a few. Clients
behind proxies ping every 10 seconds; gRPC's own bound is 5 minutes."""
KEEPALIVE_MS = 30_000
"""Between two pings of the server's own; a client that vanished without a word would else hold its streams for two hours."""
PING_TIMEOUT_MS = 20_000
"""How long the answer to a ping may take before the connection counts as dead."""


class ListenError(ConfigurationError):
    """The address cannot be listened on."""


def listen(
    server: grpc.aio.Server, host: str, port: int, settings: str, credentials: grpc.ServerCredentials | None = None
) -> str:
    """Bind an address for a server that is not started yet, and return it with the port that was bound.

    Args:
        server: what is to listen.
        host: name or address, IPv6 with or without brackets.
        port: 0 lets the system pick one.
        settings: which settings tell the address, for the error.
        credentials: for TLS; None: plain text.

    Raises:
        ListenError: the address is in use or not of this machine.
    """
    _refuse_taken_address(host, port, settings)
    bracketed = f"[{host}]" if ":" in host and not host.startswith("[") else host
    try:
        bound = (
            server.add_insecure_port(f"{bracketed}:{port}")
            if credentials is None
            else server.add_secure_port(f"{bracketed}:{port}", credentials)
        )
    except RuntimeError:
        raise ListenError(f"cannot listen on {bracketed}:{port}") from None
    return f"{bracketed}:{bound}"


def connection_options(server: ServerSettings, limits: LimitSettings) -> list[tuple[str, int]]:
    """Say how gRPC treats the connections of clients (grpc/impl/channel_arg_names.h describes each option)."""
    options = [
        # Twice the limit, so that vecgate can refuse with a reason what gRPC would refuse without one.
        ("grpc.max_receive_message_length", min(2 * limits.max_message_bytes, LARGEST_MESSAGE)),
        ("grpc.max_send_message_length", limits.max_message_bytes),
        ("grpc.max_concurrent_streams", limits.max_calls_per_connection),
        *KEPT_ALIVE,
    ]
    if server.max_connection_age_seconds:
        options += [
            # gRPC spreads the age by a tenth either way, so that clients do not all come back at once.
            ("grpc.max_connection_age_ms", int(1_000 * server.max_connection_age_seconds)),
            ("grpc.max_connection_age_grace_ms", int(1_000 * server.max_connection_age_grace_seconds)),
        ]
    return options


KEPT_ALIVE: tuple[tuple[str, int], ...] = (
    # Two servers on one port would share its calls at random instead of the second one failing.
    ("grpc.so_reuseport", 0),
    # Pings also between calls, in both directions.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", LEAST_PING_INTERVAL_MS),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    # The second bounds the answer to a ping, the first what the operating system may leave unacknowledged.
    ("grpc.keepalive_timeout_ms", PING_TIMEOUT_MS),
    ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_MS),
    # gRPC would stop pinging after two pings without data between them, as in an idle stream.
    ("grpc.http2.max_pings_without_data", 0),
)
"""What every port of ours has."""


def _refuse_taken_address(host: str, port: int, settings: str) -> None:
    """Try the address first: gRPC tells on standard error, in its own words, why it cannot listen.

    Raises:
        ListenError: another process listens there, or the address is not of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as fault:
        raise ListenError(f"cannot listen on {host}:{port}: {fault.strerror}; {settings} tell where") from None
