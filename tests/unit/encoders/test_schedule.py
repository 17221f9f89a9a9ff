"""Which micro-batches run where and when: two lanes at once, replicas, turns, and texts in flight more than once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest
from numpy.typing import NDArray
from typing_extensions import override

from vecgate_server.encoders.base import LongText, ModelDescription, ModelState, Role
from vecgate_server.encoders.pool import EncoderPool
from vecgate_server.encoders.runtime import WorkerDiedError
from vecgate_server.encoders.tokenized_text import TokenizedText
from vecgate_server.encoders.vector_cache import VectorCache
from vecgate_server.errors import EncoderBusyError, ModelUnavailableError

MAX_TOKENS = 8


class SteppedWorker:
    """A model of one token a letter whose vector is (first letter, length). Each run waits until the test lets it go."""

    description = ModelDescription("letters", "sha256:0", 2, MAX_TOKENS, "", "", False, "letters", "test")
    detail = ""
    restarts = 0
    memory_bytes = 0
    concurrent = True

    def __init__(self, *, stepped: bool = True, concurrent: bool = True) -> None:
        self.concurrent = concurrent
        self.state = ModelState.READY
        self.runs: list[list[str]] = []
        self.inside: set[Role] = set()
        self.failure: Exception | None = None
        self.deaths = 0
        self._steps = {role: threading.Semaphore(0 if stepped else 10**6) for role in Role}

    def step(self, role: Role, count: int = 1) -> None:
        """Let so many runs of a role end."""
        self._steps[role].release(count)

    @property
    def tokenizer(self) -> SteppedWorker:
        return self

    def tokenize(self, texts: Sequence[str], role: Role) -> list[TokenizedText]:  # noqa: ARG002  # one reading for all
        letters = [np.array([ord(letter) for letter in text], np.int32) for text in texts]
        return [TokenizedText(ids[:MAX_TOKENS], np.zeros_like(ids[:MAX_TOKENS]), len(ids)) for ids in letters]

    def tokenize_pairs(self, query: str, texts: Sequence[str]) -> list[TokenizedText]:
        return self.tokenize([query + text for text in texts], Role.QUERY)

    def forward(self, batch: Sequence[TokenizedText], role: Role) -> asyncio.Future[NDArray[np.float32]]:
        return asyncio.get_running_loop().run_in_executor(None, self.run, batch, role)

    def run(self, batch: Sequence[TokenizedText], role: Role) -> NDArray[np.float32]:
        texts = ["".join(map(chr, text.token_ids)) for text in batch]
        self.runs.append(texts)
        self.inside.add(role)
        assert self._steps[role].acquire(timeout=60)
        self.inside.discard(role)
        if self.deaths:
            self.deaths -= 1
            raise WorkerDiedError("died")
        if self.failure:
            raise self.failure
        return expected(texts)

    def load(self) -> None:
        pass

    def close(self) -> None:
        for role in Role:
            self.step(role, 1_000)


class SteppedCrossEncoder(SteppedWorker):
    """Scores a pair by its length."""

    description = ModelDescription("letters", "sha256:0", 1, MAX_TOKENS, "", "", False, "letters", "test")

    @override
    def run(self, batch: Sequence[TokenizedText], role: Role) -> NDArray[np.float32]:
        return super().run(batch, role)[:, 1:]


def expected(texts: Sequence[str]) -> NDArray[np.float32]:
    return np.array([[ord(text[:1] or "\0"), len(text[:MAX_TOKENS])] for text in texts], np.float32).reshape(
        len(texts), 2
    )


def words(letter: str, count: int) -> list[str]:
    """Different texts of MAX_TOKENS letters, all beginning with the letter."""
    return [letter + f"{number:0{MAX_TOKENS - 1}d}" for number in range(count)]


@asynccontextmanager
async def pool_of(*workers: SteppedWorker, cache_bytes: int = 0) -> AsyncIterator[EncoderPool]:
    """A pool whose micro-batches hold two texts of MAX_TOKENS."""
    pool = EncoderPool(workers, micro_batch_tokens=2 * MAX_TOKENS, queue_tokens=10_000, cache=VectorCache(cache_bytes))
    try:
        yield pool
    finally:
        await pool.close()


async def until(condition: Callable[[], object]) -> None:
    """Yield to the loop and to threads until something holds; the test's own timeout ends a wait in vain."""
    while not condition():  # noqa: ASYNC110  # it has no event
        await asyncio.sleep(0.001)


async def test_a_query_runs_beside_bulk_on_a_concurrent_model() -> None:
    worker = SteppedWorker()
    async with pool_of(worker) as pool:
        bulk = asyncio.create_task(pool.encode(words("d", 4), Role.DOCUMENT))
        await until(lambda: Role.DOCUMENT in worker.inside)
        worker.step(Role.QUERY)
        query = await pool.encode(["q"], Role.QUERY)
        assert Role.DOCUMENT in worker.inside
        assert not bulk.done()
        np.testing.assert_array_equal(query.vectors, expected(["q"]))
        worker.step(Role.DOCUMENT, 2)
        np.testing.assert_array_equal((await bulk).vectors, expected(words("d", 4)))


async def test_texts_that_a_worker_died_with_run_on_a_replica_at_rest() -> None:
    dying, living = (SteppedWorker(concurrent=False) for _ in range(2))
    dying.deaths = 1
    async with pool_of(dying, living) as pool:
        call = asyncio.create_task(pool.encode(["a"], Role.QUERY))
        await until(lambda: dying.inside)
        dying.state = ModelState.LOADING
        dying.step(Role.QUERY)
        living.step(Role.QUERY)
        np.testing.assert_array_equal((await call).vectors, expected(["a"]))
    assert (dying.runs, living.runs) == ([["a"]], [["a"]])


async def test_texts_that_a_worker_died_with_go_before_later_ones_when_a_replica_is_free() -> None:
    dying, living = (SteppedWorker(concurrent=False) for _ in range(2))
    dying.deaths = 1
    async with pool_of(dying, living) as pool:
        first = asyncio.create_task(pool.encode(["a"], Role.QUERY))
        await until(lambda: dying.inside)
        calls = [asyncio.create_task(pool.encode([text], Role.QUERY)) for text in "bc"]
        await until(lambda: living.inside and pool.waiting_tokens(Role.QUERY) == 1)
        dying.state = ModelState.LOADING
        dying.step(Role.QUERY)
        await until(lambda: not dying.inside)
        living.step(Role.QUERY, 3)
        await asyncio.gather(first, *calls)
    assert (dying.runs, living.runs) == ([["a"]], [["b"], ["a"], ["c"]])


async def test_texts_that_a_worker_died_with_do_not_run_again_for_nobody() -> None:
    worker = SteppedWorker()
    worker.deaths = 1
    async with pool_of(worker) as pool:
        gone = asyncio.create_task(pool.encode(["a"], Role.QUERY))
        await until(lambda: worker.inside)
        gone.cancel()
        await asyncio.wait([gone])
        worker.step(Role.QUERY, 2)
        await pool.encode(["b"], Role.QUERY)
    assert worker.runs == [["a"], ["b"]]


async def test_texts_that_the_only_worker_died_with_wait_for_its_replacement() -> None:
    worker = SteppedWorker(stepped=False)
    worker.deaths = 1
    async with pool_of(worker) as pool:
        np.testing.assert_array_equal((await pool.encode(["a"], Role.QUERY)).vectors, expected(["a"]))
        assert (await pool.encode(["b"], Role.DOCUMENT)).vectors.shape == (1, 2)
    assert worker.runs == [["a"], ["a"], ["b"]]


async def test_texts_that_two_workers_died_with_are_given_up_and_others_are_not() -> None:
    worker = SteppedWorker(stepped=False)
    worker.deaths = 2
    async with pool_of(worker) as pool:
        with pytest.raises(ModelUnavailableError, match="letters: 2 workers died on the same texts"):
            await pool.encode(["a"], Role.QUERY)
        np.testing.assert_array_equal((await pool.encode(["b"], Role.QUERY)).vectors, expected(["b"]))


async def test_a_query_goes_to_a_replica_at_rest_at_once() -> None:
    busy, idle = (SteppedWorker(concurrent=False) for _ in range(2))
    async with pool_of(busy, idle) as pool:
        first = asyncio.create_task(pool.encode(["a"], Role.QUERY))
        await until(lambda: busy.inside or idle.inside)
        taken, free = (busy, idle) if busy.inside else (idle, busy)
        free.step(Role.QUERY)
        await pool.encode(["b"], Role.QUERY)
        assert taken.inside
        taken.step(Role.QUERY)
        await first


async def test_bulk_is_spread_over_the_replicas() -> None:
    workers = [SteppedWorker() for _ in range(3)]
    async with pool_of(*workers) as pool:
        bulk = asyncio.create_task(pool.encode(words("d", 12), Role.DOCUMENT))
        await until(lambda: all(worker.inside for worker in workers))
        for worker in workers:
            worker.step(Role.DOCUMENT, 10)
        np.testing.assert_array_equal((await bulk).vectors, expected(words("d", 12)))
        assert sum(len(worker.runs) for worker in workers) == 6


async def test_a_replica_that_is_being_replaced_gets_nothing_while_another_answers() -> None:
    dead, living = SteppedWorker(stepped=False), SteppedWorker(stepped=False)
    dead.state = ModelState.LOADING
    async with pool_of(dead, living) as pool:
        for number in range(4):
            await pool.encode([f"q{number}"], Role.QUERY)
        assert (len(dead.runs), len(living.runs)) == (0, 4)
        assert pool.health == (ModelState.READY, "")
        living.state, living.detail = ModelState.FAILED, "it died"
        assert pool.health == (ModelState.LOADING, "")
        dead.state, dead.detail = ModelState.FAILED, "it died first"
        assert pool.health == (ModelState.FAILED, "it died first")


async def test_a_replica_that_cannot_be_replaced_gets_nothing_while_another_comes_back() -> None:
    failed, returning = SteppedWorker(stepped=False), SteppedWorker()
    failed.state, failed.failure = ModelState.FAILED, ModelUnavailableError("it died")
    returning.state = ModelState.LOADING
    async with pool_of(failed, returning) as pool:
        queries = [asyncio.create_task(pool.encode([letter], Role.QUERY)) for letter in "abcde"]
        await until(lambda: returning.inside)
        returning.step(Role.QUERY, 2)
        for query, letter in zip(queries, "abcde", strict=True):
            np.testing.assert_array_equal((await query).vectors, expected(letter))
        assert failed.runs == []


async def test_after_runs_of_no_tokens_a_full_lane_still_refuses_calls_with_a_time_to_retry() -> None:
    worker = SteppedWorker()
    async with pool_of(worker) as pool:
        worker.step(Role.DOCUMENT)
        assert (await pool.encode([""], Role.DOCUMENT)).tokens.tolist() == [0]
        bulk = asyncio.create_task(pool.encode(words("d", 1_250), Role.DOCUMENT))
        await until(lambda: pool.waiting_tokens(Role.DOCUMENT) == 1_248 * MAX_TOKENS)
        with pytest.raises(EncoderBusyError) as refused:
            await pool.encode(words("e", 100), Role.DOCUMENT)
        assert refused.value.retry_after is not None
        assert refused.value.retry_after > 0
        worker.step(Role.DOCUMENT, 1_000)
        await bulk


async def test_queries_that_come_while_the_query_thread_is_busy_share_a_run() -> None:
    worker = SteppedWorker()
    async with pool_of(worker) as pool:
        first = asyncio.create_task(pool.encode(["a"], Role.QUERY))
        await until(lambda: worker.inside)
        rest = [asyncio.create_task(pool.encode([text], Role.QUERY)) for text in "bcde"]
        await until(lambda: pool.waiting_tokens(Role.QUERY) == 4)
        worker.step(Role.QUERY, 2)
        await asyncio.gather(first, *rest)
        assert worker.runs == [["a"], ["b", "c", "d", "e"]]


@pytest.mark.parametrize("role", list(Role))
async def test_a_huge_call_does_not_starve_a_small_one_in_its_lane(role: Role) -> None:
    worker = SteppedWorker()
    async with pool_of(worker) as pool:
        huge = asyncio.create_task(pool.encode(words("h", 200), role))
        await until(lambda: worker.inside)
        small = asyncio.create_task(pool.encode(words("s", 4), role))
        await until(lambda: pool.waiting_tokens(role) == 202 * MAX_TOKENS)
        # The one under way, one of the huge call before each of the small call's two.
        worker.step(role, 5)
        np.testing.assert_array_equal((await small).vectors, expected(words("s", 4)))
        assert not huge.done()
        worker.step(role, 200)
        np.testing.assert_array_equal((await huge).vectors, expected(words("h", 200)))


async def test_a_rerank_of_many_texts_takes_turns_with_a_small_one() -> None:
    worker = SteppedCrossEncoder()
    async with pool_of(worker) as pool:
        many = asyncio.create_task(pool.score("q", words("t", 200)))
        await until(lambda: worker.inside)
        one = asyncio.create_task(pool.score("query", ["a", "bc"]))
        await until(lambda: pool.waiting_tokens(Role.QUERY) == 198 * MAX_TOKENS + 13)
        worker.step(Role.QUERY, 3)
        scores = await one
        assert scores.scores.tolist() == [6, 7]
        assert scores.scores.dtype == np.float32
        assert scores.tokens.tolist() == [6, 7]
        assert not many.done()
        worker.step(Role.QUERY, 200)
        assert (await many).truncated.all()


async def test_a_pair_that_is_too_long_is_left_out_if_it_is_to_be_refused() -> None:
    worker = SteppedCrossEncoder(stepped=False)
    async with pool_of(worker) as pool:
        scores = await pool.score("query", ["a", "much too long"], long_text=LongText.REFUSE)
        np.testing.assert_array_equal(scores.scores, [6, np.nan])
        assert (scores.tokens.tolist(), scores.truncated.tolist()) == ([6, 18], [False, True])


async def test_identical_texts_in_flight_run_once() -> None:
    worker = SteppedWorker()
    async with pool_of(worker) as pool:
        first = asyncio.create_task(pool.encode(["x", "x", "y"], Role.DOCUMENT))
        await until(lambda: worker.inside)
        # "x" is being run now; "z" waits in two calls.
        others = [asyncio.create_task(pool.encode(["x", "z"], Role.DOCUMENT)) for _ in range(2)]
        await until(lambda: pool.waiting_tokens(Role.DOCUMENT) == 2)
        query = asyncio.create_task(pool.encode(["x"], Role.QUERY))
        worker.step(Role.DOCUMENT, 2)
        worker.step(Role.QUERY)
        answers = await asyncio.gather(first, *others)
        assert (await query).reused.tolist() == [False]
        assert sorted(text for run in worker.runs for text in run) == ["x", "x", "y", "z"]
        for answer, texts in zip(answers, ("xxy", "xz", "xz"), strict=True):
            np.testing.assert_array_equal(answer.vectors, expected(texts))
        assert [answer.reused.tolist() for answer in answers] == [
            [False, True, False],
            [True, False],
            [True, True],
        ]
        assert (pool.counters.texts, pool.counters.reused, pool.waiting_tokens(Role.DOCUMENT)) == (8, 4, 0)


@pytest.mark.parametrize("leaving", [0, 1])
async def test_a_call_that_leaves_takes_a_shared_text_from_nobody(leaving: int) -> None:
    worker = SteppedWorker()
    async with pool_of(worker) as pool:
        first = asyncio.create_task(pool.encode(["a"], Role.DOCUMENT))
        await until(lambda: worker.inside)
        sharing = []
        for waiting in (1, 2):
            sharing.append(asyncio.create_task(pool.encode(["x"], Role.DOCUMENT)))
            await until(lambda waiting=waiting: pool.waiting_tokens(Role.DOCUMENT) == waiting)  # type: ignore[misc]  # a default binds it
        sharing[leaving].cancel()
        await asyncio.wait([sharing[leaving]])
        worker.step(Role.DOCUMENT, 2)
        await first
        np.testing.assert_array_equal((await sharing[1 - leaving]).vectors, expected("x"))
        assert worker.runs == [["a"], ["x"]]


async def test_one_of_many_calls_of_equal_texts_leaves_and_the_others_are_answered() -> None:
    worker = SteppedWorker()
    async with pool_of(worker) as pool:
        first = asyncio.create_task(pool.encode(["a"], Role.DOCUMENT))
        await until(lambda: worker.inside)
        sharing = [asyncio.create_task(pool.encode(["x"] * 20, Role.DOCUMENT)) for _ in range(20)]
        await until(lambda: pool.waiting_tokens(Role.DOCUMENT) == 400)
        leaves = sharing.pop(10)
        leaves.cancel()
        await asyncio.wait([leaves])
        assert pool.waiting_tokens(Role.DOCUMENT) == 380
        worker.step(Role.DOCUMENT, 2)
        for call in (first, *sharing):
            await call
        for call in sharing:
            np.testing.assert_array_equal(call.result().vectors, expected("x" * 20))
        assert worker.runs == [["a"], ["x"]]


async def test_a_call_that_leaves_while_its_text_runs_still_answers_those_that_share_it() -> None:
    worker = SteppedWorker()
    async with pool_of(worker) as pool:
        leaves = asyncio.create_task(pool.encode(["x"], Role.DOCUMENT))
        await until(lambda: worker.inside)
        stays = asyncio.create_task(pool.encode(["x", "y"], Role.DOCUMENT))
        await until(lambda: pool.waiting_tokens(Role.DOCUMENT) == 1)
        leaves.cancel()
        worker.step(Role.DOCUMENT, 2)
        np.testing.assert_array_equal((await stays).vectors, expected("xy"))
        assert worker.runs == [["x"], ["y"]]


async def test_a_run_that_fails_fails_all_that_share_it_and_the_text_can_be_encoded_after() -> None:
    worker = SteppedWorker()
    async with pool_of(worker) as pool:
        calls = [asyncio.create_task(pool.encode(["x"], Role.DOCUMENT)) for _ in range(3)]
        await until(lambda: worker.inside)
        await asyncio.sleep(0.01)
        worker.failure = RuntimeError("broken")
        worker.step(Role.DOCUMENT)
        for call in calls:
            with pytest.raises(ModelUnavailableError, match="letters failed: RuntimeError"):
                await call
        worker.failure = None
        worker.step(Role.DOCUMENT)
        np.testing.assert_array_equal((await pool.encode(["x"], Role.DOCUMENT)).vectors, expected("x"))


async def test_texts_seen_lately_are_not_run_again_in_their_role() -> None:
    worker = SteppedWorker(stepped=False)
    async with pool_of(worker, cache_bytes=1 << 20) as pool:
        texts = ["a", "b" * 20, "c"]
        before = await pool.encode(texts, Role.DOCUMENT)
        after = await pool.encode(["d", *texts], Role.DOCUMENT)
        np.testing.assert_array_equal(after.vectors[1:], before.vectors)
        assert after.reused.tolist() == [False, True, True, True]
        assert after.tokens.tolist() == [1, 1, MAX_TOKENS, 1]
        assert after.truncated.tolist() == [False, False, True, False]
        assert not (await pool.encode(["a"], Role.QUERY)).reused.any()
        refused = await pool.encode(texts, Role.DOCUMENT, long_text=LongText.REFUSE)
        assert np.isnan(refused.vectors[1]).all()
        assert refused.tokens.tolist() == [1, 20, 1]
        assert sorted(text for run in worker.runs for text in run) == ["a", "a", "b" * MAX_TOKENS, "c", "d"]
        counters = pool.counters
        assert (counters.texts, counters.reused, counters.runs) == (11, 6, len(worker.runs))
        assert 0 < counters.cache_bytes < 1 << 20
        # Whoever changes an answer changes nobody else's.
        after.vectors[:] = 0
        np.testing.assert_array_equal((await pool.encode(["a"], Role.DOCUMENT)).vectors, expected("a"))
