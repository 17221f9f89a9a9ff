"""The clock of a call adds up where its time goes, and notes when, if it is traced."""

from __future__ import annotations

import asyncio
import time

from vecgate_server.call_clock import MOST_PARTS, begin_clock, call_clock
from vecgate_server.encoders.base import EncodeTimings

TIMINGS = EncodeTimings(queue_ns=300, tokenize_ns=200, encode_ns=500)


def test_encodings_of_one_call_add_up() -> None:
    clock = call_clock()
    clock.encoded(TIMINGS)
    clock.encoded(TIMINGS)
    clock.reranked(TIMINGS)
    assert clock.encoding == EncodeTimings(queue_ns=600, tokenize_ns=400, encode_ns=1000)
    assert clock.reranking == TIMINGS
    assert not clock.parts


def test_the_parts_of_an_encoding_lie_one_behind_the_other_up_to_its_end() -> None:
    clock = call_clock()
    clock.trace()
    before = time.time_ns()
    clock.encoded(TIMINGS)
    encode, queue, tokenize = clock.parts
    assert [part.name for part in clock.parts] == ["encode", "queue", "tokenize"]
    assert [part.end_ns - part.begin_ns for part in clock.parts] == [500, 300, 200]
    assert (tokenize.end_ns, queue.end_ns) == (queue.begin_ns, encode.begin_ns)
    assert abs(encode.end_ns - before) < 50_000_000


def test_a_part_that_took_no_time_is_none() -> None:
    clock = call_clock()
    clock.trace()
    clock.encoded(EncodeTimings(tokenize_ns=5))
    assert [part.name for part in clock.parts] == ["tokenize"]


def test_parts_are_bounded_and_those_left_out_counted() -> None:
    clock = call_clock()
    clock.trace()
    now = time.perf_counter_ns()
    for _ in range(MOST_PARTS + 7):
        clock.backend_worked("faiss", "upsert", now - 10, now)
    assert (len(clock.parts), clock.parts_left_out) == (MOST_PARTS, 7)
    assert clock.backend_ns == 10 * (MOST_PARTS + 7)


async def test_tasks_and_threads_of_a_call_have_its_clock_and_other_calls_have_theirs() -> None:
    async def call() -> bool:
        clock = begin_clock()

        async def part() -> bool:
            return call_clock() is clock

        return await asyncio.create_task(part()) and await asyncio.to_thread(call_clock) is clock

    assert all(await asyncio.gather(*(asyncio.create_task(call()) for _ in range(3))))
