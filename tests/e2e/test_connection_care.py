"""Connections are kept while clients ping, let go when clients vanish, and renewed at an age, without a failed call.

VECGATE_TEST_PING_SECONDS=10 has pings come as seldom as they really do; otherwise all times are a fiftieth.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

import grpc.aio
import pytest
from faults.held_worker import until
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from streaming.call import StreamCall
from streaming.serving import NOTES

from vecgate import AsyncClient, Record
from vecgate.v1.read_pb2 import CountRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate_server import listening
from vecgate_server.app import Server
from vecgate_server.config import Settings

USUAL_PING_SECONDS = 10.0
PING_SECONDS = float(os.environ.get("VECGATE_TEST_PING_SECONDS", "0.2"))
PINGS = 6
"""gRPC sends a client away with the fourth that comes too early."""
LEAST_INTERVAL = "grpc.http2.min_ping_interval_without_data_ms"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, GOAWAY = 4, 6, 7
ACKNOWLEDGED = 1


def faster(**seconds: float) -> tuple[tuple[str, int], ...]:
    """Return what every port has, with some of its times in place of its own."""
    return tuple(
        (dict(listening.KEPT_ALIVE) | {f"grpc.{name}": int(1_000 * at) for name, at in seconds.items()}).items()
    )


@asynccontextmanager
async def serving(**server: float) -> AsyncIterator[Server]:
    settings = {
        "server": {"port": 0} | server,
        "backends": {"memory": {"kind": "memory"}},
        "models": {"preload": []},
    }
    async with Server(Settings.model_validate(settings)) as started:
        async with grpc.aio.insecure_channel(started.address) as channel:
            await VectorSearchServiceStub(channel).CreateCollection(NOTES)
        yield started


def frame(kind: int, flags: int = 0, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content))[1:] + struct.pack(">BBI", kind, flags, 0) + content


class PlainConnection:
    """An HTTP/2 connection without calls, by hand: RFC 9113."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.kinds: list[int] = []

    def send(self, *frames: bytes) -> None:
        self._writer.write(b"".join(frames))

    async def read_on(self) -> None:
        """Read frames to the end of the connection, and answer what has to be; noted is the rest, such as answers to our pings."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await self._reader.readexactly(9)
                content = await self._reader.readexactly(int.from_bytes(head[:3]))
                kind, flags = head[3], head[4]
                if kind in {PING, SETTINGS} and not flags & ACKNOWLEDGED:
                    self.send(frame(kind, ACKNOWLEDGED, content if kind == PING else b""))
                else:
                    self.kinds.append(kind)


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[PlainConnection]:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    connection = PlainConnection(reader, writer)
    connection.send(PREFACE, frame(SETTINGS))
    try:
        yield connection
    finally:
        writer.close()


@pytest.mark.timeout(200)
@pytest.mark.parametrize("ours", [True, False], ids=["ours", "of_grpc"])
async def test_a_client_that_pings_between_calls_is_kept(ours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    interval = listening.LEAST_PING_INTERVAL_MS / 1_000
    assert interval <= USUAL_PING_SECONDS / 2
    scaled = faster(**{LEAST_INTERVAL.removeprefix("grpc."): interval * PING_SECONDS / USUAL_PING_SECONDS})
    if not ours:
        scaled = tuple(each for each in scaled if each[0] != LEAST_INTERVAL)
    monkeypatch.setattr(listening, "KEPT_ALIVE", scaled)
    async with serving() as server, connected(server.address) as connection:
        reading = asyncio.create_task(connection.read_on())
        for _ in range(PINGS):
            await asyncio.sleep(PING_SECONDS)
            connection.send(frame(PING, content=b"are here"))
        await asyncio.sleep(PING_SECONDS)
        assert reading.done() is not ours
        assert (GOAWAY in connection.kinds) is not ours
        assert (connection.kinds.count(PING) == PINGS) is ours
        reading.cancel()


class Relay:
    """Passes on what goes between a client and a server, until it is told to keep everything to itself."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._passing = asyncio.Event()
        self._passing.set()
        self._tasks: list[asyncio.Task[None]] = []
        self.address = ""

    def stop(self) -> None:
        self._passing.clear()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._target.rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        self._tasks += [asyncio.create_task(self._pass(*ends)) for ends in ((reader, back), (there, writer))]

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while content := await reader.read(65_536):
                await self._passing.wait()
                writer.write(content)
        finally:
            writer.close()


async def test_a_client_that_vanishes_without_a_word_gives_its_stream_back(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = {"keepalive_time_ms": 0.2, "keepalive_timeout_ms": 0.2, "http2.ping_timeout_ms": 0.2}
    monkeypatch.setattr(listening, "KEPT_ALIVE", faster(**fast))
    async with (
        serving() as server,
        Relay(server.address) as relay,
        grpc.aio.insecure_channel(relay.address) as channel,
    ):
        stream = StreamCall(VectorSearchServiceStub(channel))
        await stream.open("notes")
        await asyncio.sleep(1)  # idle, and yet answered for
        assert server._admission.streams == 1
        relay.stop()
        await until(lambda: not server._admission.streams)


async def connections(channel: grpc.aio.Channel) -> set[int]:
    """Return the numbers of the connections that the server has."""
    stub: Any = channelz_pb2_grpc.ChannelzStub(channel)  # type: ignore[arg-type]  # typed for blocking channels only
    servers = (await stub.GetServers(channelz_pb2.GetServersRequest())).server
    sockets = [
        (await stub.GetServerSockets(channelz_pb2.GetServerSocketsRequest(server_id=each.ref.server_id))).socket_ref
        for each in servers
    ]
    return {ref.socket_id for refs in sockets for ref in refs}


async def test_connections_are_renewed_at_their_age_and_no_call_fails() -> None:
    async def call_on(channel: grpc.aio.Channel) -> int:
        stub, calls = VectorSearchServiceStub(channel), 0
        while not over.is_set():
            assert (await stub.Count(CountRequest(collection="notes"))).count == 0
            calls += 1
        return calls

    over = asyncio.Event()
    seen: set[int] = set()
    # The channel makes no retries of ours.
    async with (
        serving(max_connection_age_seconds=0.4) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        calling = [asyncio.create_task(call_on(channel)) for _ in range(4)]
        for _ in range(20):
            await asyncio.sleep(0.15)
            seen |= await connections(channel)
        over.set()
        calls = await asyncio.gather(*calling)
    assert min(calls) > 20
    assert len(seen) >= 4


async def test_a_bulk_upsert_outlives_its_connections() -> None:
    def records() -> Iterator[Record]:
        for number in range(30):
            yield Record(id=f"{number}", vector=[1.0, float(number)])

    async def slowly() -> AsyncIterator[Record]:
        for record in records():
            await asyncio.sleep(0.1)
            yield record

    reconnects = []
    age = {"max_connection_age_seconds": 0.5, "max_connection_age_grace_seconds": 0.3}
    async with serving(**age) as server, AsyncClient(server.address) as client:
        result = await client.upsert_many(
            "notes", slowly(), batch_size=1, on_progress=lambda progress: reconnects.append(progress.reconnects)
        )
        assert (result.stored, result.failures) == (30, ())
        assert await client.count("notes") == 30
    assert reconnects[-1] >= 2
