"""Targets with several addresses, names whose addresses change, servers that go and come back."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from vecgate import AsyncClient, Client, UnavailableError

Start = Callable[..., tuple[Any, str]]
A_RECORD = 1


class NameServer:
    """A DNS server on loopback that answers every name with `addresses`."""

    def __init__(self, addresses: list[str]) -> None:
        self.addresses = addresses
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                query, sender = self._socket.recvfrom(4096)
                self._socket.sendto(self._answer(query), sender)

    def _answer(self, query: bytes) -> bytes:
        end = query.index(b"\0", 12) + 1
        question = query[12 : end + 4]
        kind = struct.unpack("!H", query[end : end + 2])[0]
        addresses = self.addresses if kind == A_RECORD else []
        header = query[:2] + struct.pack("!5H", 0x8180, 1, len(addresses), 0, 0)
        records = [struct.pack("!3HIH", 0xC00C, A_RECORD, 1, 0, 4) + socket.inet_aton(address) for address in addresses]
        return header + question + b"".join(records)


@pytest.fixture
def names() -> Iterator[NameServer]:
    server = NameServer([])
    yield server
    server.close()


def call_until(client: Client, done: Callable[[], bool]) -> None:
    """Call, whatever comes of it, until something has become true; a test that waits in vain ends by its timeout."""
    while not done():
        with suppress(UnavailableError):
            client.server_info(timeout=5)
        time.sleep(0.01)


def test_calls_go_round_all_addresses_of_a_target(start: Start) -> None:
    servers = [start() for _ in range(3)]
    with Client("ipv4:" + ",".join(address for _, address in servers)) as client:
        call_until(client, lambda: all(noting.calls for noting, _ in servers))
        for noting, _ in servers:
            noting.calls.clear()
        for _ in range(30):
            client.server_info()
    assert [len(noting.calls) for noting, _ in servers] == [10, 10, 10]


async def test_calls_of_the_asynchronous_client_go_round_too(start: Start) -> None:
    servers = [start() for _ in range(2)]
    async with AsyncClient("ipv4:" + ",".join(address for _, address in servers)) as client:
        while not all(noting.calls for noting, _ in servers):
            await client.server_info()
        for noting, _ in servers:
            noting.calls.clear()
        await asyncio.gather(*(client.server_info() for _ in range(20)))
    assert [len(noting.calls) for noting, _ in servers] == [10, 10]


def test_an_address_that_is_lost_costs_no_read_and_is_used_again_when_it_is_back(start: Start) -> None:
    (first, first_address), (second, second_address) = start(), start()
    with Client(f"ipv4:{first_address},{second_address}") as client:
        call_until(client, lambda: bool(first.calls and second.calls))
        first.stop()
        second.calls.clear()
        for _ in range(10):
            client.server_info()
        assert len(second.calls) == 10
        back, _ = start(address=first_address)
        call_until(client, lambda: bool(back.calls))


def test_a_name_is_asked_again_when_its_addresses_are_lost(start: Start, names: NameServer) -> None:
    first, address = start(address="127.0.0.1:0")
    port = address.partition(":")[2]
    second, _ = start(address=f"127.0.0.2:{port}")
    names.addresses = ["127.0.0.1", "127.0.0.2"]
    with Client(f"dns://127.0.0.1:{names.port}/vecgate.test:{port}") as client:
        call_until(client, lambda: bool(first.calls and second.calls))
        third, _ = start(address=f"127.0.0.3:{port}")
        names.addresses = ["127.0.0.3"]
        first.stop()
        second.stop()
        call_until(client, lambda: bool(third.calls))


def test_a_client_outlives_any_number_of_restarts(start: Start) -> None:
    noting, address = start()
    with Client(address) as client:
        for _ in range(6):
            client.server_info()
            noting.stop()
            with pytest.raises(UnavailableError):
                client.server_info()
            noting, _ = start(address=address)
            call_until(client, lambda: bool(noting.calls))  # noqa: B023  # called before the next one


async def test_calls_that_are_cancelled_leave_the_connection_to_others(start: Start) -> None:
    noting, address = start()
    async with AsyncClient(address) as client:
        await client.server_info()
        for _ in range(20):
            calls = [asyncio.create_task(client.server_info()) for _ in range(5)]
            await asyncio.sleep(0)
            for call in calls[1:]:
                call.cancel()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert Counter(map(type, outcomes))[asyncio.CancelledError] <= 4
            assert not isinstance(outcomes[0], BaseException)
    assert len(noting.calls) >= 21
