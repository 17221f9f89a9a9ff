"""Callers in a process of their own, with the generated messages and nothing of the client around them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import grpc.aio

from benchmarks.faiss.vectors import FloatMatrix
from vecgate.v1.search_pb2 import (
    MATCH_LAYOUT_COLUMNS,
    BatchQuery,
    Query,
    SearchBatchRequest,
    SearchBatchResponse,
    SearchOptions,
    SearchRequest,
    SearchResponse,
)
from vecgate.v1.vector_pb2 import Vector

SERVICE = "/vecgate.v1.VectorSearchService/"
WARM_UP_SECONDS = 1.0
MESSAGES = {
    "Search": (SearchRequest, SearchResponse),
    "SearchBatch": (SearchBatchRequest, SearchBatchResponse),
}
OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", -1),
    # Channels to one address would share a connection otherwise.
    ("grpc.use_local_subchannel_pool", 1),
]


@dataclass(frozen=True, slots=True)
class Calls:
    """What came of calls under load: how many ended in how many seconds, and the seconds of each."""

    count: int
    seconds: float
    latencies: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.count / self.seconds


def columns(top_k: int = 10) -> SearchOptions:
    """Return options that ask for ids and scores as columns."""
    return SearchOptions(top_k=top_k, layout=MATCH_LAYOUT_COLUMNS)


def search_requests(collection: str, queries: FloatMatrix, options: SearchOptions | None = None) -> list[bytes]:
    """Return a serialized Search of each query."""
    chosen = columns() if options is None else options
    return [
        SearchRequest(collection=collection, query=Query(vector=_vector(query)), options=chosen).SerializeToString()
        for query in queries
    ]


def batch_requests(
    collection: str, queries: FloatMatrix, size: int, options: SearchOptions | None = None
) -> list[bytes]:
    """Return serialized SearchBatches of so many queries each."""
    chosen = columns() if options is None else options
    return [
        SearchBatchRequest(
            collection=collection,
            queries=[BatchQuery(query=Query(vector=_vector(query))) for query in queries[begin : begin + size]],
            options=chosen,
        ).SerializeToString()
        for begin in range(0, len(queries) - size + 1, size)
    ]


def call_for(
    address: str, method: str, requests: Sequence[bytes], *, callers: int, seconds: float, connections: int = 1
) -> Calls:
    """Keep so many calls of a method under way for so long, after a warm-up, from another process over so many connections."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(
        target=_run, args=(address, method, list(requests), callers, seconds, connections, there), daemon=True
    )
    process.start()
    try:
        if not here.poll(seconds + 60):
            raise RuntimeError("the callers do not answer")
        answer = here.recv()
    finally:
        process.join(5)
        if process.is_alive():
            process.kill()
    if isinstance(answer, Exception):
        raise answer
    found: Calls = answer
    return found


def _vector(query: Any) -> Vector:
    return Vector(packed=query.astype("<f4").tobytes())


def _run(
    address: str, method: str, requests: list[bytes], callers: int, seconds: float, connections: int, pipe: Any
) -> None:
    try:
        pipe.send(asyncio.run(_call(address, method, requests, callers, seconds, connections)))
    except Exception as error:  # noqa: BLE001  # the parent raises it
        pipe.send(RuntimeError(f"the callers broke off: {type(error).__name__}: {error}"))


async def _call(
    address: str, method: str, requests: list[bytes], callers: int, seconds: float, connections: int
) -> Calls:
    asked, answered = MESSAGES[method]
    messages = [asked.FromString(request) for request in requests]
    async with AsyncExitStack() as open_channels:
        asks = [
            (await open_channels.enter_async_context(grpc.aio.insecure_channel(address, options=OPTIONS))).unary_unary(
                SERVICE + method, request_serializer=asked.SerializeToString, response_deserializer=answered.FromString
            )
            for _ in range(connections)
        ]
        begin = time.perf_counter() + WARM_UP_SECONDS
        end = begin + seconds
        latencies: list[float] = []

        async def caller(number: int) -> None:
            at = number * 7919
            ask = asks[number % connections]
            while (started := time.perf_counter()) < end:
                await ask(messages[at % len(messages)])
                at += 1
                if started >= begin:
                    latencies.append(time.perf_counter() - started)

        await asyncio.gather(*(caller(number) for number in range(callers)))
        return Calls(len(latencies), time.perf_counter() - begin, tuple(latencies))
