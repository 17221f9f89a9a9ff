"""Wrong messages of every RPC through everything behind the socket: each is answered by a status that says why, and nothing stays behind.

VECGATE_TEST_BAD_BYTES says how many messages and frames are sent in total; `make test-fuzz` sends a million. A call that fails is
written in the form of FOUND, where what was found once is kept.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from benchmarks.server import MIB, memory_of
from faults.held_worker import HeldWorker, held_models
from hostile.direct_calls import STREAM, DirectCalls, directly, one_line_a_record
from hostile.found_calls import FOUND
from hostile.seed_requests import BOUND, SEEDS, UNBOUND, record, restoring
from hostile.seed_requests import STREAM as STREAM_SEEDS
from hostile.wire_mutation import STRINGS, Mutator

from vecgate.v1.collection_pb2 import DeleteCollectionRequest, ListCollectionsRequest, ListCollectionsResponse
from vecgate.v1.read_pb2 import ListRequest, ListResponse
from vecgate.v1.search_pb2 import Query, SearchRequest, SearchResponse
from vecgate.v1.service_pb2 import DESCRIPTOR
from vecgate.v1.write_pb2 import UpsertRequest, UpsertResponse
from vecgate_server.app import Server
from vecgate_server.config import Settings

log = logging.getLogger(__name__)

BAD_BYTES = int(os.environ.get("VECGATE_TEST_BAD_BYTES", "20000"))
SHARE = 0.4
"""Of them are messages for each of the two backends here; the rest is sent as frames: test_bad_frames.py."""
SEED = int(os.environ.get("VECGATE_TEST_SEED", "7"))
ROUND = 1_000
"""Calls after which the collections are made again."""
AT_ONCE = 16
MEMORY_GROWTH = 1.3
SOME_MEBIBYTES = 48
"""What caches of fixed size may still take when the first rounds are over."""
BACKENDS: dict[str, dict[str, Any]] = {
    "memory": {"kind": "memory"},
    "faiss": {"kind": "faiss", "options": {"path": "./data", "seal_threshold": 64}},
}


@pytest.fixture(params=BACKENDS)
async def calls(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[DirectCalls]:
    monkeypatch.chdir(tmp_path)
    settings = {
        "server": {"port": 0, "shutdown_grace_seconds": 0},
        "backends": {"main": BACKENDS[request.param]},
        "limits": {"max_message_bytes": 1_048_576, "max_top_k": 200, "max_page_size": 100},
    }
    server = Server(Settings.model_validate(settings), models=held_models(HeldWorker(), queue_tokens=100_000))
    async with directly(server, monkeypatch) as calls:
        yield calls


def metadata(chance: random.Random) -> list[tuple[str, str | bytes]]:
    """Headers that a client may have sent: whatever gRPC lets through."""
    roll = chance.random()
    if roll < 0.7:
        return []
    key = chance.choice(
        ("x-request-id", "authorization", "traceparent", "user-agent", "x", "grpc-previous-rpc-attempts")
    )
    printable = "".join(letter for letter in chance.choice(STRINGS) if " " <= letter <= "~")
    return [(key, printable), (key, "second"), ("x-request-id-bin", b"\x00\xff")]


class WrongCalls:
    """Makes wrong calls; the same seed makes the same."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._mutator = Mutator(self._chance)
        self._methods = [*SEEDS, STREAM]

    def learn(self, tokens: Sequence[str]) -> None:
        """Take tokens that the server gave."""
        self._mutator.tokens = tokens

    def next(self) -> tuple[str, list[bytes], list[tuple[str, str | bytes]]]:
        method = self._chance.choice(self._methods)
        seeds: Sequence[Any] = STREAM_SEEDS if method == STREAM else [self._chance.choice(SEEDS[method])]
        messages = [
            self._mutator.mutated(seed) if self._chance.random() < 0.8 else seed.SerializeToString() for seed in seeds
        ]
        if method == STREAM and self._chance.random() < 0.2:
            self._chance.shuffle(messages)
        return method, messages, metadata(self._chance)


async def restore(calls: DirectCalls) -> None:
    """Make the collections and their records again, and no others."""
    while True:
        listed = ListCollectionsResponse.FromString(
            (await calls.ask("ListCollections", ListCollectionsRequest())).answers[0]
        )
        if not listed.collections:
            break
        for each in listed.collections:
            await calls.ask("DeleteCollection", DeleteCollectionRequest(name=each.name))
    for method, request in restoring():
        assert (await calls.ask(method, request)).code is grpc.StatusCode.OK


async def good_tokens(calls: DirectCalls) -> list[str]:
    """Get tokens of a page and of a write."""
    listed = await calls.ask("List", ListRequest(collection=BOUND, page_size=2))
    records = [record("a1", 1)]
    written = await calls.ask("Upsert", UpsertRequest(collection=BOUND, records=records))
    return [
        ListResponse.FromString(listed.answers[0]).next_page_token,
        UpsertResponse.FromString(written.answers[0]).consistency_token,
    ]


async def answers_a_good_search(calls: DirectCalls) -> None:
    for name in (BOUND, UNBOUND):
        request = SearchRequest(collection=name, query=Query(id="a1"))
        found = SearchResponse.FromString((await calls.ask("Search", request)).answers[0])
        assert len(found.result.matches) == 7


async def test_the_seeds_are_of_every_method_and_most_are_answered_well(calls: DirectCalls) -> None:
    await restore(calls)
    methods = {method.name for method in DESCRIPTOR.services_by_name["VectorSearchService"].methods}
    assert {*SEEDS, STREAM} == methods
    for method, requests in SEEDS.items():
        for request in requests:
            await calls.ask(method, request)
    await restore(calls)
    await calls.call(STREAM, [message.SerializeToString() for message in STREAM_SEEDS])
    assert {method for method, reason in calls.endings if not reason} == methods - {"Rerank"}


@pytest.mark.timeout(120 + BAD_BYTES / 100)
async def test_wrong_messages_are_answered_by_a_status_and_leave_nothing_behind(calls: DirectCalls) -> None:
    wrong = WrongCalls(SEED)
    rounds = max(2, round(SHARE * BAD_BYTES / ROUND))
    memory: list[float] = []
    tasks = len(asyncio.all_tasks())
    with one_line_a_record():
        for _ in range(rounds):
            await restore(calls)
            await answers_a_good_search(calls)
            wrong.learn(await good_tokens(calls))
            for _ in range(ROUND // AT_ONCE):
                await asyncio.gather(*(calls.call(*wrong.next()) for _ in range(AT_ONCE)))
            if not len(memory) % 50:
                log.info("%d calls, %d of them well", calls.endings.total(), calls.well)
            gc.collect()
            memory.append(memory_of(os.getpid()).rss / MIB)
    await restore(calls)
    await answers_a_good_search(calls)
    log.info("%d calls, %d of them well: %s", calls.endings.total(), calls.well, calls.endings)
    log.info("memory MiB: %s", [round(each) for each in memory])
    early = max(memory[: max(1, rounds // 4)])
    assert memory[-1] <= MEMORY_GROWTH * early + SOME_MEBIBYTES
    assert len(asyncio.all_tasks()) <= tasks


@pytest.mark.parametrize(("method", "messages", "reason"), FOUND.values(), ids=FOUND)
async def test_what_was_found_once_is_answered(
    calls: DirectCalls, method: str, messages: Sequence[str], reason: str
) -> None:
    await restore(calls)
    with one_line_a_record():
        ended = await calls.call(method, [bytes.fromhex(message) for message in messages])
    assert ended.reason == reason
    await answers_a_good_search(calls)
