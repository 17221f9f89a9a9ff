"""A write that must not be done twice is announced before it begins, so that the caller of one that gRPC dropped knows that nothing was done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import grpc.aio
import pytest
from hostile.direct_calls import DirectContext
from streaming.serving import serving

from vecgate.v1.collection_pb2 import (
    CreateCollectionRequest,
    DeleteCollectionRequest,
    IndexConfig,
    Unbound,
    UpdateCollectionRequest,
)
from vecgate.v1.filter_pb2 import Selector
from vecgate.v1.read_pb2 import CountRequest
from vecgate.v1.record_pb2 import Record
from vecgate.v1.vector_pb2 import FloatList, Vector
from vecgate.v1.write_pb2 import (
    WRITE_MODE_INSERT,
    WRITE_MODE_UPDATE,
    WRITE_MODE_UPSERT,
    DeleteRequest,
    UpdateMetadataRequest,
    UpsertRequest,
)
from vecgate_backends.memory import MemoryBackend
from vecgate_backends.memory.collection import MemoryCollection
from vecgate_server.app import SERVICE
from vecgate_server.calls.call import Call
from vecgate_server.errors import AnswersUnreadError

ID = ("x-request-id", "request-7")
SECONDS = 10
ALL = Selector(all=True)


def upsert(mode: int) -> UpsertRequest:
    record = Record(id="a", vector=Vector(floats=FloatList(values=[1.0, 0.0])))
    return UpsertRequest(collection="notes", mode=mode, records=[record])  # type: ignore[arg-type]  # a number, as on the wire


DONE_ONCE: dict[str, tuple[str, Any]] = {
    "insert": ("Upsert", upsert(WRITE_MODE_INSERT)),
    "update_metadata": ("UpdateMetadata", UpdateMetadataRequest(collection="notes", selector=ALL, remove=["year"])),
    "delete": ("Delete", DeleteRequest(collection="notes", selector=ALL)),
    "create_collection": ("CreateCollection", CreateCollectionRequest(name="more", unbound=Unbound(dimension=2))),
    "update_collection": ("UpdateCollection", UpdateCollectionRequest(name="notes", index=IndexConfig())),
    "delete_collection": ("DeleteCollection", DeleteCollectionRequest(name="notes")),
}
REPEATABLE: dict[str, tuple[str, Any]] = {
    "upsert": ("Upsert", upsert(WRITE_MODE_UPSERT)),
    "update": ("Upsert", upsert(WRITE_MODE_UPDATE)),
    "count": ("Count", CountRequest(collection="notes")),
}


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Let no write of the memory backend begin before this is set."""
    released = asyncio.Event()

    def held(write: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        async def later() -> Any:
            await released.wait()
            return await write(*arguments, **options)

        return later()

    for kind, methods in (
        (MemoryCollection, ("upsert", "update_metadata", "delete")),
        (MemoryBackend, ("create_collection", "update_collection", "delete_collection")),
    ):
        for name in methods:
            write = getattr(kind, name)
            monkeypatch.setattr(kind, name, lambda *given, _write=write, **options: held(_write, *given, **options))
    return released


@pytest.mark.parametrize(("method", "request_"), DONE_ONCE.values(), ids=DONE_ONCE)
async def test_a_write_that_must_not_be_done_twice_is_announced_before_it_begins(
    method: str, request_: Any, release: asyncio.Event
) -> None:
    release.set()
    async with serving() as (server, _), grpc.aio.insecure_channel(server.address) as channel:
        release.clear()
        # As if it had many answers: of a call with one, gRPC gives what comes ahead of it together with it.
        call: grpc.aio.UnaryStreamCall[bytes, bytes] = channel.unary_stream(f"/{SERVICE}/{method}")(
            request_.SerializeToString(), metadata=(ID,)
        )
        async with asyncio.timeout(SECONDS):
            assert ID in tuple(await call.initial_metadata())
            assert not call.done()
            release.set()
            assert len([answer async for answer in call]) == 1
        assert ID in tuple(await call.trailing_metadata())


@pytest.mark.parametrize(("method", "request_"), REPEATABLE.values(), ids=REPEATABLE)
async def test_what_may_be_done_twice_has_its_id_with_the_answer_alone(method: str, request_: Any) -> None:
    async with serving() as (_, stub):
        call = getattr(stub, method)(request_, metadata=(ID,))
        await call
        assert ID not in tuple(await call.initial_metadata())
        assert ID in tuple(await call.trailing_metadata())


async def test_a_write_that_is_refused_after_it_was_announced_keeps_its_status(refusal: Any) -> None:
    async with serving() as (_, stub):
        refused = await refusal(stub.DeleteCollection(DeleteCollectionRequest(name="none"), metadata=(ID,)))
        assert (refused.reason, refused.request_id) == ("COLLECTION_NOT_FOUND", ID[1])


class UntoldContext(DirectContext):
    """Of a caller that went away."""

    async def send_initial_metadata(self, _: Sequence[tuple[str, str | bytes]]) -> None:
        raise grpc.aio.InternalError("the connection is closed")


async def test_a_write_whose_caller_cannot_be_told_does_not_begin() -> None:
    with pytest.raises(AnswersUnreadError):
        await Call("Delete", cast("Any", UntoldContext()), ()).announce()
