"""Wrong HTTP/2 on the socket of a live server: it goes on answering, and memory, descriptors, calls and tasks are as they were.

VECGATE_TEST_BAD_BYTES says how much is sent in total, with test_bad_messages.py; `make test-fuzz` sends a million.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from faults.held_worker import until
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from hostile.attacks import ATTACKS, COLLECTION, NO_TEXT, SEARCH, drop_sockets, holding_connections
from hostile.http2_connection import Http2Connection, grpc_message
from hostile.process_watch import Held, held, settled, stops_with_nothing_in_hand

from vecgate.v1.collection_pb2 import CreateCollectionRequest, Unbound
from vecgate.v1.record_pb2 import Record
from vecgate.v1.search_pb2 import SearchRequest, SearchResponse
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate.v1.vector_pb2 import Vector
from vecgate.v1.write_pb2 import UpsertRequest
from vecgate_server.app import Server
from vecgate_server.config import Settings

log = logging.getLogger(__name__)

BAD_BYTES = int(os.environ.get("VECGATE_TEST_BAD_BYTES", "20000"))
FRAMES = BAD_BYTES // 5
"""The rest are messages: test_bad_messages.py."""
SEED = int(os.environ.get("VECGATE_TEST_SEED", "7"))
SEARCH_SECONDS = 2.0
"""A good search is answered so soon, whatever was sent before; on an idle server it takes a few milliseconds.

gRPC drops it while more than max_waiting_calls wait, a flood of calls that were reset for example; asking again counts into the time."""
MEMORY_GROWTH = 1.3
SETTINGS: dict[str, Any] = {"backends": {"memory": {"kind": "memory"}}, "models": {"preload": []}}
RECORDS = 200
DIMENSION = 256


def fill(address: str) -> None:
    rows = np.random.default_rng(3).standard_normal((RECORDS, DIMENSION)).astype("<f4")
    records = [Record(id=f"a{row}", vector=Vector(packed=rows[row].tobytes())) for row in range(RECORDS)]
    with grpc.insecure_channel(address) as channel:
        stub = VectorSearchServiceStub(channel)
        stub.CreateCollection(CreateCollectionRequest(name=COLLECTION, unbound=Unbound(dimension=DIMENSION)))
        stub.Upsert(UpsertRequest(collection=COLLECTION, records=records))


class Searcher:
    """Asks the good question, over a connection that stands since before the attacks and over a new one."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel = grpc.insecure_channel(address)
        self._request = SearchRequest.FromString(SEARCH)
        self.slowest = 0.0
        self.dropped = 0

    def search(self, *, anew: bool) -> None:
        began = time.monotonic()
        if anew:
            with grpc.insecure_channel(self._address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
                found = self._ask(channel)
        else:
            found = self._ask(self._channel)
        assert len(found.result.matches) == 10
        self.slowest = max(self.slowest, time.monotonic() - began)

    def _ask(self, channel: grpc.Channel) -> SearchResponse:
        stub = VectorSearchServiceStub(channel)
        end = time.monotonic() + SEARCH_SECONDS
        while True:
            try:
                return stub.Search(self._request, timeout=end - time.monotonic())
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.CANCELLED or time.monotonic() > end:
                    raise
            self.dropped += 1
            time.sleep(0.01)

    def close(self) -> None:
        self._channel.close()


@pytest.fixture
def server(start_server: Any) -> Any:
    server = start_server(SETTINGS)
    fill(server.address)
    return server


@pytest.fixture
def searcher(server: Any) -> Iterator[Searcher]:
    searcher = Searcher(server.address)
    yield searcher
    searcher.close()


def attack_once(address: str, searcher: Searcher, chance: random.Random, sent: Counter[str]) -> None:
    for name, attack in ATTACKS.items():
        sent[name] += attack(address, chance)
        try:
            searcher.search(anew=False)
        except grpc.RpcError as error:
            raise AssertionError(f"after {name}: {error}") from None
    searcher.search(anew=True)


def at_rest(server: Any, base: Held) -> Held:
    return settled(server.process.pid, lambda now: now.descriptors <= base.descriptors)


@pytest.mark.timeout(120 + BAD_BYTES / 200)
def test_a_server_under_attack_answers_and_gives_everything_back(server: Any, searcher: Searcher) -> None:
    chance = random.Random(SEED)
    sent: Counter[str] = Counter()
    attack_once(server.address, searcher, chance, sent)
    base = held(server.process.pid)
    while sent.total() < FRAMES:
        with ExitStack() as ends:
            ends.callback(drop_sockets, holding_connections(server.address, chance))
            attack_once(server.address, searcher, chance, sent)
    rest = at_rest(server, base)
    log.info(
        "%d frames: %s; slowest search %.3f s, %d asked again",
        sent.total(),
        dict(sent),
        searcher.slowest,
        searcher.dropped,
    )
    log.info("before: %s; after: %s", base, rest)
    assert server.process.poll() is None
    assert rest.descriptors <= base.descriptors
    assert rest.mebibytes <= MEMORY_GROWTH * base.mebibytes
    assert stops_with_nothing_in_hand(server)
    # gRPC quotes what it cannot read as it came, and prints where it could not refuse a caller that had gone; no fault came through our own code.
    written = Path(server.log).read_text(errors="replace")
    assert "/vecgate_server/" not in written
    assert " INTERNAL in " not in written


async def test_no_attack_leaves_a_task_behind() -> None:
    settings = Settings.model_validate(SETTINGS | {"server": {"port": 0, "shutdown_grace_seconds": 0}})
    chance = random.Random(SEED)
    async with Server(settings) as server:
        await asyncio.to_thread(fill, server.address)
        searcher = Searcher(server.address)
        await asyncio.to_thread(searcher.search, anew=True)
        tasks = len(asyncio.all_tasks())
        with ExitStack() as ends:
            ends.callback(drop_sockets, await asyncio.to_thread(holding_connections, server.address, chance))
            await asyncio.to_thread(attack_once, server.address, searcher, chance, Counter())
        await until(lambda: len(asyncio.all_tasks()) <= tasks)
        searcher.close()


async def test_a_path_that_is_no_text_ends_no_port() -> None:
    def ask(address: str) -> None:
        with Http2Connection(address) as connection:
            stream = connection.call("Search", grpc_message(SEARCH), _path=NO_TEXT)
            assert connection.status(stream) != 0

    async with Server(Settings.model_validate(SETTINGS | {"server": {"port": 0, "health_port": 0}})) as server:
        assert server.health_port
        for address in (server.address, server.health_port.address):
            await asyncio.to_thread(ask, address)
            async with grpc.aio.insecure_channel(address) as channel:
                told = await HealthStub(channel).Check(HealthCheckRequest(service="liveness"), timeout=5)  # type: ignore[attr-defined]  # set at run time
            assert told.status == HealthCheckResponse.SERVING


ANSWERED: dict[str, tuple[bytes, dict[str, str | None], set[int | None]]] = {
    "a right call": (grpc_message(SEARCH), {}, {0}),
    "more than a message": (grpc_message(SEARCH) + b"\0", {}, {0, 12, 13}),
    "a message over twice the limit": (grpc_message(b"", length=2**31), {}, {8}),
    # Some versions of gRPC take it as it stands.
    "a compressed message without an encoding": (grpc_message(SEARCH, compressed=1), {}, {0, 13}),
    "an encoding that there is none of": (grpc_message(SEARCH, compressed=1), {"grpc_encoding": "zip"}, {12, 13}),
    "two messages": (grpc_message(SEARCH) * 2, {}, {0, 12, 13}),
    "a method that there is none of": (grpc_message(SEARCH), {"_path": "/vecgate.v1.VectorSearchService/Seek"}, {12}),
    "no protobuf": (grpc_message(b"\xff" * 20), {}, {3}),
    "no time": (grpc_message(SEARCH), {"grpc_timeout": "1n"}, {0, 4}),
}
"""What is sent → body, headers, the statuses that may come (None: the stream is reset without one)."""


@pytest.mark.parametrize(("body", "headers", "statuses"), ANSWERED.values(), ids=ANSWERED)
def test_a_wrong_call_is_answered_by_its_status(
    memory_server: Any, body: bytes, headers: dict[str, str | None], statuses: set[int | None]
) -> None:
    with grpc.insecure_channel(memory_server.address) as channel:
        stub = VectorSearchServiceStub(channel)
        unbound = Unbound(dimension=2)
        stub.CreateCollection(CreateCollectionRequest(name=COLLECTION, unbound=unbound, if_not_exists=True))
        vector = Vector(packed=np.ones(2, "<f4").tobytes())
        stub.Upsert(UpsertRequest(collection=COLLECTION, records=[Record(id="a0", vector=vector)]))
    with Http2Connection(memory_server.address) as connection:
        stream = connection.call("Search", body, **headers)
        assert connection.status(stream) in statuses
