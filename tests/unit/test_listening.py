"""An address is kept for those who listen with SO_REUSEPORT, on real sockets."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier

import pytest

from vecgate_server.listening import ListenError, bracketed, refuse_taken_address, reserved_port

HOST = "127.0.0.1"
SETTINGS = "server.host and server.port"
TOGETHER = 4


def listening(port: int, *, shared: bool) -> socket.socket:
    """Listen as gRPC does."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


@pytest.fixture(params=["a port that the system picks", "a port that is named"])
def asked(request: pytest.FixtureRequest, unused_tcp_port: int) -> int:
    return unused_tcp_port if request.param.endswith("named") else 0


def test_several_listen_on_a_reserved_port_and_nobody_else_does(asked: int) -> None:
    with reserved_port(HOST, asked, SETTINGS) as port:
        assert port
        assert asked in {0, port}
        for _ in range(2):
            with pytest.raises(ListenError, match="Address already in use"), reserved_port(HOST, port, SETTINGS):
                pass
            with pytest.raises(ListenError, match="Address already in use"):
                refuse_taken_address(HOST, port, SETTINGS)
            with pytest.raises(OSError, match="Address already in use"):
                listening(port, shared=False)
            with listening(port, shared=True), listening(port, shared=True):
                # The refusals are the same while somebody listens.
                with pytest.raises(ListenError), reserved_port(HOST, port, SETTINGS):
                    pass
                with pytest.raises(OSError, match="Address already in use"):
                    listening(port, shared=False)
    with listening(port, shared=False):
        pass


def test_the_reservation_itself_hears_nothing(asked: int) -> None:
    with reserved_port(HOST, asked, SETTINGS) as port:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, port), timeout=5)
        with listening(port, shared=True) as listener:
            connections = [socket.create_connection((HOST, port), timeout=5) for _ in range(20)]
            for connection in connections:
                listener.accept()[0].close()
                connection.close()


def test_of_several_that_reserve_a_port_at_once_one_gets_it(unused_tcp_port: int) -> None:
    with ThreadPoolExecutor(TOGETHER) as threads:
        for _ in range(50):
            begin, kept = Barrier(TOGETHER), Barrier(TOGETHER)

            def reserve(begin: Barrier = begin, kept: Barrier = kept) -> bool:
                begin.wait(timeout=10)
                with ExitStack() as held:
                    try:
                        held.enter_context(reserved_port(HOST, unused_tcp_port, SETTINGS))
                    except ListenError:
                        return False
                    finally:
                        kept.wait(timeout=10)
                    return True

            assert sum(each.result() for each in [threads.submit(reserve) for _ in range(TOGETHER)]) == 1


def test_an_address_of_another_machine_is_refused() -> None:
    # TEST-NET-1, RFC 5737.
    with (
        pytest.raises(ListenError, match=r"cannot listen on 192\.0\.2\.1:0: "),
        reserved_port("192.0.2.1", 0, SETTINGS),
    ):
        pass


@pytest.mark.parametrize(("host", "written"), [("::1", "[::1]"), ("[::1]", "[::1]"), ("localhost", "localhost")])
def test_an_ipv6_address_is_written_in_brackets(host: str, written: str) -> None:
    assert bracketed(host) == written
