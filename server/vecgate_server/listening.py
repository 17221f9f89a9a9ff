"""Ports of gRPC: bound with a sentence of ours where that fails, kept for several processes, and how connections to them are kept.

Facts about SO_REUSEADDR and SO_REUSEPORT: socket(7) of Linux, and inet_csk_bind_conflict in its net/ipv4/inet_connection_sock.c.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import grpc.aio

from vecgate_backends.errors import ConfigurationError
from vecgate_server.config import ServerSettings
from vecgate_server.config_limits import LimitSettings

MAIN_SETTINGS = "server.host and server.port"
HEALTH_SETTINGS = "server.health_host and server.health_port"
"""Which settings tell the address, for the error where it cannot be listened on."""
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


def bracketed(host: str) -> str:
    """Return a host as it is written before a port: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def listen(
    server: grpc.aio.Server,
    host: str,
    port: int,
    settings: str,
    credentials: grpc.ServerCredentials | None = None,
    *,
    shared: bool = False,
) -> str:
    """Bind an address for a server that is not started yet, and return it with the port that was bound.

    Args:
        server: what is to listen.
        host: name or address, IPv6 with or without brackets.
        port: 0 lets the system pick one.
        settings: which settings tell the address, for the error.
        credentials: for TLS; None: plain text.
        shared: whether the address is reserved for several processes (reserved_port), of which this is one.

    Raises:
        ListenError: the address is in use or not of this machine.
    """
    if not shared:
        refuse_taken_address(host, port, settings)
    where = f"{bracketed(host)}:{port}"
    try:
        bound = server.add_insecure_port(where) if credentials is None else server.add_secure_port(where, credentials)
    except RuntimeError:
        raise ListenError(f"cannot listen on {where}") from None
    return f"{bracketed(host)}:{bound}"


def connection_options(server: ServerSettings, limits: LimitSettings) -> list[tuple[str, int]]:
    """Say how gRPC treats the connections of clients (grpc/impl/channel_arg_names.h describes each option)."""
    options = [
        # Twice the limit, so that vecgate can refuse with a reason what gRPC would refuse without one.
        ("grpc.max_receive_message_length", min(2 * limits.max_message_bytes, LARGEST_MESSAGE)),
        ("grpc.max_send_message_length", limits.max_message_bytes),
        ("grpc.max_concurrent_streams", limits.max_calls_per_connection),
        # Between the two it drops some of the calls that come, at random.
        ("grpc.server.max_pending_requests", limits.max_waiting_calls // 2),
        ("grpc.server.max_pending_requests_hard_limit", limits.max_waiting_calls),
        sharing_option(shared=server.shares_port),
        *KEPT_ALIVE,
    ]
    if server.max_connection_age_seconds:
        options += [
            # gRPC spreads the age by a tenth either way, so that clients do not all come back at once.
            ("grpc.max_connection_age_ms", int(1_000 * server.max_connection_age_seconds)),
            ("grpc.max_connection_age_grace_ms", int(1_000 * server.max_connection_age_grace_seconds)),
        ]
    return options


def sharing_option(*, shared: bool) -> tuple[str, int]:
    """Say whether several processes listen on a port, which their supervisor reserved.

    Else two servers on one port would share its calls at random instead of the second one failing.
    """
    return "grpc.so_reuseport", int(shared)


KEPT_ALIVE: tuple[tuple[str, int], ...] = (
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


@contextmanager
def reserved_port(host: str, port: int, settings: str) -> Iterator[int]:
    """Keep a port of an address for processes of this user that listen with SO_REUSEPORT, and from everybody else.

    SO_REUSEPORT alone would let a second server of the same user join, which would take a part of the calls unnoticed. So the address is first
    taken as by one server that listens alone; only then is the socket, which hears nothing, marked as one to share with. Whoever
    tries to take the address in the same way meets it, and those that listen with SO_REUSEPORT from the start do not.

    Args:
        host: the address.
        port: of it; 0 lets the system pick one.
        settings: which settings tell the address, for the error.

    Yields:
        The port.

    Raises:
        ListenError: another process listens there, or the address is not of this machine.
    """
    try:
        reservation = _bound(host, port)
    except OSError as fault:
        raise _taken(host, port, settings, fault) from None
    with reservation:
        try:
            if port:
                # Two sockets that do not listen may both be bound with SO_REUSEADDR; only one of them can begin to listen.
                reservation.listen()
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if port:
                # It stays bound. A port that the system picked would be given back, and nobody competes for such a port.
                reservation.shutdown(socket.SHUT_RDWR)
        except OSError as fault:
            raise _taken(host, port, settings, fault) from None
        bound: int = reservation.getsockname()[1]
        yield bound


def refuse_taken_address(host: str, port: int, settings: str) -> None:
    """Try the address first: gRPC tells on standard error, in its own words, why it cannot listen.

    Raises:
        ListenError: another process listens there, or the address is not of this machine.
    """
    try:
        with _bound(host, port):
            pass
    except OSError as fault:
        raise _taken(host, port, settings, fault) from None


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        # Connections of the server before that are still being forgotten are no hindrance.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def _taken(host: str, port: int, settings: str, fault: OSError) -> ListenError:
    return ListenError(f"cannot listen on {host}:{port}: {fault.strerror}; {settings} tell where")
