"""Requests of a stream are read so that none is lost, and heard out before an end."""

from __future__ import annotations

import asyncio
import time

import grpc.aio
import pytest

from vecgate_server.stream_requests import QUIET_SECONDS, StreamRequests


class Wire:
    """Messages that a client sends when the test says so; a read that is cancelled takes the next one with it, as gRPC's does."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[object] = asyncio.Queue()
        self.turns = asyncio.Semaphore(100)
        self.reads: set[asyncio.Future[object]] = set()
        self.requests = StreamRequests(self.read, bytes.decode, self.reads, self.turn)

    async def turn(self) -> None:
        await self.turns.acquire()

    async def read(self) -> object:
        try:
            message = await self.sent.get()
        except asyncio.CancelledError:
            self.sent.get_nowait()
            raise
        if isinstance(message, Exception):
            raise message
        return message


async def test_a_wait_that_is_given_up_loses_no_message() -> None:
    wire = Wire()
    for number in range(5):
        waiting = asyncio.ensure_future(anext(wire.requests))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        wire.sent.put_nowait(b"%d" % number)
        assert await anext(wire.requests) == str(number)


async def test_the_end_is_told_as_often_as_it_is_asked_for() -> None:
    wire = Wire()
    wire.sent.put_nowait(grpc.aio.EOF)
    assert [await anext(wire.requests, None) for _ in range(2)] == [None, None]


async def test_who_is_still_sending_is_heard_until_it_pauses() -> None:
    wire = Wire()

    async def send() -> None:
        for _ in range(4):
            await asyncio.sleep(QUIET_SECONDS / 2)
            wire.sent.put_nowait(b"late")

    sending = asyncio.create_task(send())
    await wire.requests.drop_rest()
    assert sending.done()
    assert wire.sent.empty()


async def test_each_message_has_one_turn_however_often_it_is_asked_for() -> None:
    wire = Wire()
    wire.turns = asyncio.Semaphore(1)
    for _ in range(3):
        waiting = asyncio.ensure_future(anext(wire.requests))
        await asyncio.sleep(0)
        waiting.cancel()
    wire.sent.put_nowait(b"first")
    assert await anext(wire.requests) == "first"
    second = asyncio.ensure_future(anext(wire.requests))
    wire.sent.put_nowait(b"second")
    await asyncio.sleep(0.01)
    assert not second.done()
    assert not wire.reads
    wire.turns.release()
    assert await second == "second"


async def test_what_is_dropped_waits_for_no_turn() -> None:
    wire = Wire()
    wire.turns = asyncio.Semaphore(0)
    for _ in range(3):
        wire.sent.put_nowait(b"late")
    await wire.requests.drop_rest()
    assert wire.sent.empty()


async def test_who_never_pauses_is_heard_for_a_second() -> None:
    wire = Wire()

    async def send() -> None:
        while True:
            wire.sent.put_nowait(b"late")
            await asyncio.sleep(QUIET_SECONDS / 10)

    sending = asyncio.create_task(send())
    began = time.monotonic()
    await wire.requests.drop_rest()
    assert time.monotonic() - began >= 1
    sending.cancel()


async def test_a_read_that_fails_after_its_call_is_nobody_s_fault() -> None:
    wire = Wire()
    waiting = asyncio.ensure_future(anext(wire.requests))
    await asyncio.sleep(0)
    waiting.cancel()
    assert len(wire.reads) == 1
    wire.sent.put_nowait(RuntimeError("the call is over"))
    while wire.reads:  # noqa: ASYNC110  # they have no event
        await asyncio.sleep(0)
