"""What a pool counts for monitoring: waits, texts of a run, hits of the cache."""

from __future__ import annotations

import asyncio

import pytest
from faults.held_worker import MAX_TOKENS, HeldWorker

from vecgate_server.encoders.base import ModelDistributions, Role
from vecgate_server.encoders.pool import EncoderPool
from vecgate_server.encoders.vector_cache import VectorCache


@pytest.mark.parametrize(("cache_bytes", "hits", "misses"), [(1 << 20, 2, 4), (0, 0, 6)])
async def test_hits_and_misses_of_the_cache_are_counted_by_text(cache_bytes: int, hits: int, misses: int) -> None:
    pool = EncoderPool([HeldWorker()], micro_batch_tokens=100, queue_tokens=1000, cache=VectorCache(cache_bytes))
    await pool.encode(["a", "b", "c"], Role.QUERY)
    await pool.encode(["a", "b"], Role.QUERY)
    await pool.encode(["a"], Role.DOCUMENT)
    assert (pool.counters.cache_hits, pool.counters.cache_misses) == (hits, misses)
    await pool.close()


async def test_waits_and_the_texts_of_runs_are_counted() -> None:
    distributions, worker = ModelDistributions(), HeldWorker()
    pool = EncoderPool([worker], micro_batch_tokens=2 * MAX_TOKENS, queue_tokens=1000, distributions=distributions)
    worker.hold()
    first = asyncio.create_task(pool.encode(["d" * MAX_TOKENS], Role.DOCUMENT))
    await worker.has_entered()
    behind = [asyncio.create_task(pool.encode([letter * MAX_TOKENS], Role.DOCUMENT)) for letter in "ef"]
    await asyncio.sleep(0.06)
    worker.release()
    await asyncio.gather(first, *behind)
    # One alone, then the two that waited together.
    (ones, twos, *_), texts = distributions.run_texts.read()
    assert (ones, twos, texts) == (1, 2, 3)
    counts, seconds = distributions.wait_seconds[Role.DOCUMENT].read()
    assert counts[-1] == 3
    assert 0.1 < seconds < 30
    assert distributions.wait_seconds[Role.QUERY].read() == ([0] * 15, 0.0)
    await pool.close()


async def test_a_call_that_the_cache_answers_waits_for_nothing() -> None:
    distributions = ModelDistributions()
    pool = EncoderPool(
        [HeldWorker()],
        micro_batch_tokens=100,
        queue_tokens=1000,
        cache=VectorCache(1 << 20),
        distributions=distributions,
    )
    for _ in range(3):
        await pool.encode(["a"], Role.QUERY)
    assert distributions.wait_seconds[Role.QUERY].read()[0][-1] == 1
    await pool.close()
