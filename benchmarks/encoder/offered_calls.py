"""Calls that come at a rate whatever becomes of them, from a process of their own; every one is accounted for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing import get_context

import grpc
import grpc.aio
import numpy as np
from numpy.typing import NDArray

from vecgate.v1.encode_pb2 import ROLE_DOCUMENT, EncodeRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub

CHANNELS = 8
# An answer may take as long as the server's queue; a call that has none by then is lost.
CALL_SECONDS = 180.0
# One answer in so many is kept to be compared.
KEPT_EVERY = 25


class Ending(StrEnum):
    """How a call ended."""

    ANSWERED = "answered"
    REFUSED = "refused"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class OfferedCall:
    """One call.

    Attributes:
        number: its place among the calls.
        ending: how it ended.
        seconds: from the call to its end.
        detail: why it was lost, or "".
        vectors: float32, shape (texts, dimension), of some that were answered.
    """

    number: int
    ending: Ending
    seconds: float
    detail: str = ""
    vectors: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """What is offered: calls of `texts_a_call` documents, so many a second, for so long."""

    documents: tuple[str, ...]
    texts_a_call: int
    calls_a_second: float
    seconds: float

    def texts(self, number: int) -> list[str]:
        """Return the texts of a call; no two texts of an offer are equal."""
        start = number * self.texts_a_call
        return [
            f"{self.documents[index % len(self.documents)]} ({index})"
            for index in range(start, start + self.texts_a_call)
        ]


@contextmanager
def offering(address: str, offer: Offer) -> Iterator[Future[list[OfferedCall]]]:
    """Make the calls of an offer in another process; the future has them all once the last has ended."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        yield process.submit(make_calls, address, offer)


def make_calls(address: str, offer: Offer) -> list[OfferedCall]:
    """Make the calls of an offer, and return when the last has ended."""
    return asyncio.run(_make_calls(address, offer))


async def _make_calls(address: str, offer: Offer) -> list[OfferedCall]:
    # Apart, or gRPC would send them all over one connection.
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(CHANNELS)]
    stubs = [VectorSearchServiceStub(channel) for channel in channels]
    began = time.monotonic()
    calls: list[asyncio.Task[OfferedCall]] = []
    while (due := len(calls) / offer.calls_a_second) < offer.seconds:
        await asyncio.sleep(max(began + due - time.monotonic(), 0.0))
        number = len(calls)
        request = EncodeRequest(texts=offer.texts(number), role=ROLE_DOCUMENT)
        calls.append(asyncio.create_task(_call(stubs[number % CHANNELS], request, number)))
    ended = await asyncio.gather(*calls)
    for channel in channels:
        await channel.close()
    return ended


async def _call(stub: VectorSearchServiceStub, request: EncodeRequest, number: int) -> OfferedCall:
    began = time.perf_counter()
    try:
        # The stub of an asynchronous channel gives calls to await; its annotation knows the blocking one alone.
        answer = await stub.Encode(request, timeout=CALL_SECONDS)  # type: ignore[misc]
    except grpc.aio.AioRpcError as error:
        seconds = time.perf_counter() - began
        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return OfferedCall(number, Ending.REFUSED, seconds)
        return OfferedCall(number, Ending.LOST, seconds, f"{error.code().name}: {error.details()}")
    seconds = time.perf_counter() - began
    if len(answer.embeddings) != len(request.texts):
        return OfferedCall(number, Ending.LOST, seconds, f"{len(answer.embeddings)} vectors for {len(request.texts)}")
    vectors = None
    if number % KEPT_EVERY == 0:
        vectors = np.stack([np.frombuffer(each.vector.packed, "<f4") for each in answer.embeddings])
    return OfferedCall(number, Ending.ANSWERED, seconds, vectors=vectors)


def least_cosine(kept: Sequence[NDArray[np.float32]], expected: Sequence[NDArray[np.float32]]) -> float:
    """Return the smallest cosine between answered vectors and those that are known to be right."""
    ours, theirs = np.concatenate(kept).astype(np.float64), np.concatenate(expected).astype(np.float64)
    cosines = (ours * theirs).sum(axis=1) / (np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1))
    return float(cosines.min())
