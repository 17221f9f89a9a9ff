from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from time import perf_counter_ns

import numpy as np
import pytest
from numpy.typing import NDArray

from vecgate_server.encoders.base import LongText, ModelDescription, ModelState, Role
from vecgate_server.encoders.pool import EncoderPool
from vecgate_server.encoders.tokenized_text import TokenizedText
from vecgate_server.errors import EncoderBusyError, ModelUnavailableError, ShuttingDownError

MAX_TOKENS = 8


class LetterRuntime:
    """A model whose tokens are letters and whose vectors tell the text: (first letter, length). It can be held."""

    description = ModelDescription("letters", "sha256:0", 2, MAX_TOKENS, "", "", False, "letters", "test")

    concurrent = False
    state = ModelState.READY
    detail = ""
    restarts = 0
    memory_bytes = 0

    def __init__(self) -> None:
        self.batches: list[tuple[Role, list[str]]] = []
        self.tokenized: list[tuple[Role, str]] = []
        self.running = threading.Semaphore(0)
        self._may_run = threading.Event()
        self._may_run.set()
        self.failure: Exception | None = None

    def load(self) -> None:
        pass

    def close(self) -> None:
        pass

    def hold(self) -> None:
        self._may_run.clear()

    def release(self) -> None:
        self._may_run.set()

    @property
    def tokenizer(self) -> LetterRuntime:
        return self

    def tokenize_pairs(self, query: str, texts: Sequence[str]) -> list[TokenizedText]:
        return self.tokenize([query + text for text in texts], Role.QUERY)

    def tokenize(self, texts: Sequence[str], role: Role) -> list[TokenizedText]:
        self.tokenized += [(role, text) for text in texts]
        letters = [np.array([ord(letter) for letter in text], dtype=np.int32) for text in texts]
        return [TokenizedText(ids[:MAX_TOKENS], np.zeros_like(ids[:MAX_TOKENS]), len(ids)) for ids in letters]

    def forward(self, batch: Sequence[TokenizedText], role: Role) -> asyncio.Future[NDArray[np.float32]]:
        return asyncio.get_running_loop().run_in_executor(None, self.run, batch, role)

    def run(self, batch: Sequence[TokenizedText], role: Role) -> NDArray[np.float32]:
        texts = ["".join(map(chr, text.token_ids.tolist())) for text in batch]
        self.batches.append((role, texts))
        self.running.release()
        assert self._may_run.wait(30)
        if self.failure is not None:
            raise self.failure
        return _expected(texts)


def _words(letter: str, count: int) -> list[str]:
    """Different texts of MAX_TOKENS letters each, all beginning with the letter."""
    return [letter + f"{number:0{MAX_TOKENS - 1}d}" for number in range(count)]


def _expected(texts: Sequence[str]) -> NDArray[np.float32]:
    read = [text[:MAX_TOKENS] for text in texts]
    return np.array([[ord(text[0]) if text else 0, len(text)] for text in read], dtype=np.float32)


@pytest.fixture
def runtime() -> LetterRuntime:
    return LetterRuntime()


@pytest.fixture
async def pool(runtime: LetterRuntime) -> AsyncIterator[EncoderPool]:
    pool = EncoderPool([runtime], micro_batch_tokens=16, queue_tokens=100)
    yield pool
    runtime.release()
    await pool.close()


async def _started(runtime: LetterRuntime) -> None:
    """Wait until the worker is inside the model."""
    assert await asyncio.to_thread(runtime.running.acquire, timeout=30)


async def _queued(runtime: LetterRuntime, pool: EncoderPool, text: str, role: Role) -> asyncio.Task[object]:
    """Start a call and wait until it is tokenized and queued behind the held worker."""
    before = pool._schedule.waiting_tokens(role)
    task: asyncio.Task[object] = asyncio.create_task(pool.encode([text], role))
    while pool._schedule.waiting_tokens(role) == before and not task.done():  # noqa: ASYNC110 - yields to the loop, does not wait
        await asyncio.sleep(0)
    return task


async def test_rows_answer_the_texts_in_their_order(pool: EncoderPool) -> None:
    texts = ["dddd", "", "a", "cccccc", "bb", "eeeeeeee", "f"] * 5
    encoding = await pool.encode(texts, Role.DOCUMENT)
    np.testing.assert_array_equal(encoding.vectors, _expected(texts))
    assert encoding.vectors.dtype == np.float32
    assert encoding.vectors.flags.c_contiguous
    assert encoding.tokens.tolist() == [len(text) for text in texts]
    assert encoding.tokens.dtype == np.int32
    assert not encoding.truncated.any()


async def test_no_texts_give_an_empty_answer(pool: EncoderPool) -> None:
    encoding = await pool.encode([], Role.QUERY)
    assert encoding.vectors.shape == (0, 2)
    assert encoding.tokens.shape == encoding.truncated.shape == (0,)


async def test_long_texts_are_cut_and_reported(pool: EncoderPool) -> None:
    encoding = await pool.encode(["a", "b" * 20], Role.DOCUMENT, long_text=LongText.TRUNCATE)
    np.testing.assert_array_equal(encoding.vectors, [[97, 1], [98, MAX_TOKENS]])
    assert encoding.tokens.tolist() == [1, MAX_TOKENS]
    assert encoding.truncated.tolist() == [False, True]


async def test_refused_texts_are_not_encoded_and_the_others_are(pool: EncoderPool, runtime: LetterRuntime) -> None:
    encoding = await pool.encode(["a", "b" * 20, "c"], Role.DOCUMENT, long_text=LongText.REFUSE)
    assert np.isnan(encoding.vectors[1]).all()
    np.testing.assert_array_equal(encoding.vectors[[0, 2]], _expected(["a", "c"]))
    assert encoding.tokens.tolist() == [1, 20, 1]
    assert encoding.truncated.tolist() == [False, True, False]
    assert runtime.batches == [(Role.DOCUMENT, ["a", "c"])]


async def test_only_refused_texts_never_reach_the_model(pool: EncoderPool, runtime: LetterRuntime) -> None:
    encoding = await pool.encode(["b" * 20], Role.DOCUMENT, long_text=LongText.REFUSE)
    assert np.isnan(encoding.vectors).all()
    assert runtime.batches == []


async def test_a_query_waits_for_the_running_micro_batch_only(pool: EncoderPool, runtime: LetterRuntime) -> None:
    runtime.hold()
    bulk = asyncio.create_task(pool.encode(_words("d", 8), Role.DOCUMENT))
    await _started(runtime)
    query = await _queued(runtime, pool, "q", Role.QUERY)
    runtime.release()
    await asyncio.gather(bulk, query)
    assert [role for role, _ in runtime.batches[:3]] == [Role.DOCUMENT, Role.QUERY, Role.DOCUMENT]


async def test_calls_that_come_while_the_model_is_busy_share_a_run(pool: EncoderPool, runtime: LetterRuntime) -> None:
    runtime.hold()
    first = asyncio.create_task(pool.encode(["a"], Role.QUERY))
    await _started(runtime)
    rest = [await _queued(runtime, pool, text, Role.QUERY) for text in "bcde"]
    runtime.release()
    await asyncio.gather(first, *rest)
    assert [texts for _, texts in runtime.batches] == [["a"], ["b", "c", "d", "e"]]


async def test_a_cancelled_call_does_not_reach_the_model(pool: EncoderPool, runtime: LetterRuntime) -> None:
    runtime.hold()
    first = asyncio.create_task(pool.encode(["a"], Role.QUERY))
    await _started(runtime)
    gone = await _queued(runtime, pool, "gone", Role.QUERY)
    stays = await _queued(runtime, pool, "stays", Role.QUERY)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    runtime.release()
    await asyncio.gather(first, stays)
    assert [texts for _, texts in runtime.batches] == [["a"], ["stays"]]


async def test_a_call_cancelled_inside_the_model_leaves_the_pool_working(
    pool: EncoderPool, runtime: LetterRuntime
) -> None:
    runtime.hold()
    gone = asyncio.create_task(pool.encode(_words("d", 6), Role.DOCUMENT))
    await _started(runtime)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    runtime.release()
    encoding = await pool.encode(["next"], Role.DOCUMENT)
    np.testing.assert_array_equal(encoding.vectors, _expected(["next"]))
    assert [len(texts) for _, texts in runtime.batches] == [2, 1]


async def test_a_full_queue_refuses_at_once_and_before_any_work(pool: EncoderPool, runtime: LetterRuntime) -> None:
    await pool.encode(["warm"], Role.DOCUMENT)
    runtime.hold()
    runtime.running = threading.Semaphore(0)
    running = asyncio.create_task(pool.encode(_words("a", 2), Role.DOCUMENT))
    await _started(runtime)
    waiting = asyncio.create_task(pool.encode(_words("b", 12), Role.DOCUMENT))
    while pool._schedule.waiting_tokens(Role.DOCUMENT) < 96:  # noqa: ASYNC110 - yields to the loop, does not wait
        await asyncio.sleep(0)
    with pytest.raises(EncoderBusyError, match="96 tokens wait in the document queue of model letters") as refused:
        await pool.encode(_words("c", 2), Role.DOCUMENT)
    assert refused.value.retry_after is not None
    assert 0 < refused.value.retry_after <= 60
    assert (Role.DOCUMENT, _words("c", 1)[0]) not in runtime.tokenized
    query = await _queued(runtime, pool, "q", Role.QUERY)
    runtime.release()
    await asyncio.gather(running, waiting, query)
    encoding = await pool.encode(_words("c", 2), Role.DOCUMENT)
    np.testing.assert_array_equal(encoding.vectors, _expected(_words("c", 2)))


async def test_a_call_larger_than_the_queue_is_taken_when_nothing_waits(pool: EncoderPool) -> None:
    texts = _words("a", 100)
    encoding = await pool.encode(texts, Role.DOCUMENT)
    np.testing.assert_array_equal(encoding.vectors, _expected(texts))


async def test_a_failing_model_fails_its_callers_and_serves_the_next(
    pool: EncoderPool, runtime: LetterRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.hold()
    first = asyncio.create_task(pool.encode(_words("a", 20), Role.DOCUMENT))
    await _started(runtime)
    runtime.failure = RuntimeError("out of memory")
    runtime.release()
    with pytest.raises(ModelUnavailableError, match="letters failed: RuntimeError") as failed:
        await first
    assert failed.value.__cause__ is runtime.failure
    assert "out of memory" in caplog.text
    runtime.failure = None
    encoding = await pool.encode(["b"], Role.DOCUMENT)
    np.testing.assert_array_equal(encoding.vectors, _expected(["b"]))
    assert [len(texts) for _, texts in runtime.batches] == [2, 1]


@pytest.mark.parametrize(
    "vectors", [np.zeros((1, 3), np.float32), np.full((1, 2), np.nan, np.float32)], ids=["shape", "not finite"]
)
async def test_a_model_that_answers_nonsense_is_an_error(
    pool: EncoderPool, runtime: LetterRuntime, monkeypatch: pytest.MonkeyPatch, vectors: NDArray[np.float32]
) -> None:
    monkeypatch.setattr(runtime, "run", lambda *_: vectors)
    with pytest.raises(ModelUnavailableError, match="ValueError"):
        await pool.encode(["a"], Role.QUERY)


async def test_a_text_that_cannot_be_tokenized_fails_its_caller_only(
    pool: EncoderPool, runtime: LetterRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(texts: Sequence[str], role: Role) -> list[TokenizedText]:
        raise ValueError("not text")

    with monkeypatch.context() as patch:
        patch.setattr(runtime, "tokenize", fail)
        with pytest.raises(ValueError, match="not text"):
            await pool.encode(["a"], Role.QUERY)
    assert (await pool.encode(["b"], Role.QUERY)).tokens.tolist() == [1]


async def test_the_timings_are_parts_of_the_time_of_the_call(pool: EncoderPool) -> None:
    started = perf_counter_ns()
    timings = (await pool.encode(_words("a", 10), Role.DOCUMENT)).timings
    elapsed = perf_counter_ns() - started
    assert min(timings.tokenize_ns, timings.encode_ns, timings.queue_ns) > 0
    assert timings.tokenize_ns + timings.encode_ns + timings.queue_ns <= elapsed


async def test_closing_fails_what_waits_and_refuses_what_comes(runtime: LetterRuntime) -> None:
    pool = EncoderPool([runtime], micro_batch_tokens=16, queue_tokens=100)
    runtime.hold()
    running = asyncio.create_task(pool.encode(["a"], Role.QUERY))
    await _started(runtime)
    waiting = await _queued(runtime, pool, "b", Role.QUERY)
    closing = asyncio.create_task(pool.close())
    for task in (running, waiting):
        with pytest.raises(ShuttingDownError):
            await task
    runtime.release()
    await closing
    with pytest.raises(ShuttingDownError):
        await pool.encode(["c"], Role.QUERY)
    assert [texts for _, texts in runtime.batches] == [["a"]]


async def test_many_callers_each_get_their_own_rows(pool: EncoderPool) -> None:
    calls = [[chr(97 + (number + row) % 26) * (1 + row % 8) for row in range(number % 5 + 1)] for number in range(40)]
    answers = await asyncio.gather(
        *(pool.encode(texts, role) for texts, role in zip(calls, list(Role) * 20, strict=True)), return_exceptions=True
    )
    served = [
        (texts, answer) for texts, answer in zip(calls, answers, strict=True) if not isinstance(answer, BaseException)
    ]
    assert served
    for texts, answer in served:
        np.testing.assert_array_equal(answer.vectors, _expected(texts))
    assert all(isinstance(answer, EncoderBusyError) for answer in answers if isinstance(answer, BaseException))
