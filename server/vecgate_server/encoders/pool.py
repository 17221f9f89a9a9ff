"""The encoder of one loaded model: bounded queues in front of the workers that run it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter_ns
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vecgate_server.encoders.base import (
    EncodeTimings,
    Encoding,
    LongText,
    ModelCounters,
    ModelDescription,
    ModelDistributions,
    ModelState,
    PairScores,
    Role,
)
from vecgate_server.encoders.cached_rows import Answer, with_cached
from vecgate_server.encoders.lane_admission import LaneAdmission
from vecgate_server.encoders.runtime import Worker
from vecgate_server.encoders.schedule import Schedule
from vecgate_server.encoders.token_allowance import charged
from vecgate_server.encoders.tokenized_text import TokenizedText
from vecgate_server.encoders.vector_cache import CachedVector, VectorCache, text_key
from vecgate_server.errors import ShuttingDownError

# One text no longer than this is tokenized in less time than the event loop takes to hand it to a thread.
SHORT_CHARACTERS = 256


class Health(NamedTuple):
    """Whether the workers answer, and why not; see Worker."""

    state: ModelState
    detail: str


class EncoderPool:
    """An Encoder, or a CrossEncoder, over the workers of one model.

    A thread for each role tokenizes, so that a query is not tokenized behind a thousand documents; one short text is not
    worth the way to it.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        *,
        micro_batch_tokens: int,
        queue_tokens: int,
        cache: VectorCache | None = None,
        distributions: ModelDistributions | None = None,
    ) -> None:
        """Put the queues in front of a loaded model.

        Args:
            workers: one or more, loaded, of the same model.
            micro_batch_tokens: budget of one run of the model: rows times the longest text.
            queue_tokens: most tokens that may wait in each role's lane; see LaneAdmission.
            cache: vectors of texts encoded lately; None means none.
            distributions: told how long calls wait, and how many texts run together.
        """
        self._workers = workers
        distributions = distributions or ModelDistributions()
        self._wait_seconds = distributions.wait_seconds
        self._schedule = Schedule(workers, micro_batch_tokens=micro_batch_tokens, run_texts=distributions.run_texts)
        self._cache = cache or VectorCache(0)
        self._cache.belong_to(self.description)
        self._admission = LaneAdmission(
            self._schedule,
            model=self.description.name,
            max_tokens=self.description.max_tokens,
            queue_tokens=queue_tokens,
        )
        self._tokenizers = {
            role: ThreadPoolExecutor(1, thread_name_prefix=f"tokenize {role} {self.description.name}") for role in Role
        }
        self._texts = self._reused = self._cache_hits = self._cache_misses = 0
        self._closed = False
        self.calls = 0
        """Calls in hand."""

    @property
    def description(self) -> ModelDescription:
        """What the model is."""
        return self._workers[0].description

    @property
    def health(self) -> Health:
        """Return the state of the model, and why it FAILED: READY if one worker is."""
        healths = [Health(worker.state, worker.detail) for worker in self._workers]
        best = (ModelState.READY, ModelState.LOADING, ModelState.FAILED)
        return min(healths, key=lambda health: best.index(health.state))

    @property
    def memory_bytes(self) -> int:
        """What the workers took when they were loaded."""
        return sum(worker.memory_bytes for worker in self._workers)

    @property
    def counters(self) -> ModelCounters:
        """What the pool did; see ModelCounters. May be read from any thread."""
        return ModelCounters(
            texts=self._texts,
            reused=self._reused,
            tokens=self._schedule.tokens_read,
            runs=self._schedule.runs,
            run_seconds=self._schedule.run_seconds,
            refused_calls=self._admission.refused_calls,
            worker_restarts=sum(worker.restarts for worker in self._workers),
            waiting_tokens={role: self.waiting_tokens(role) for role in Role},
            cache_bytes=self._cache.bytes,
            cache_hits=self._cache_hits,
            cache_misses=self._cache_misses,
        )

    def waiting_tokens(self, role: Role) -> int:
        """Count the tokens that wait for the model; of texts that are not tokenized yet, an estimate."""
        return self._admission.waiting_tokens(role)

    async def encode(self, texts: Sequence[str], role: Role, *, long_text: LongText = LongText.TRUNCATE) -> Encoding:
        """Encode texts; see Encoder.encode.

        Raises:
            EncoderBusyError: the role's lane is full, or so full that the answer would come after the call's deadline; nothing was
                encoded, retry_after is told.
            KeyTokensExceededError: the caller used more tokens than it may; nothing was encoded, retry_after is told.
            ModelUnavailableError: the model broke down.
            ShuttingDownError: the pool is closed, or was closed before the answer was complete.
        """
        keys = [text_key(text, role) for text in texts]
        cached = {row: found for row, key in enumerate(keys) if (found := self._cache.get(key)) is not None}
        rest = [row for row in range(len(texts)) if row not in cached]
        unknown = [texts[row] for row in rest]
        self._cache_hits += len(cached)
        self._cache_misses += len(rest)
        answer = await self._answer(
            [len(text) for text in unknown],
            role,
            long_text,
            lambda: self._workers[0].tokenizer.tokenize(unknown, role),
            [keys[row] for row in rest],
        )
        encoding = with_cached(answer, rest, cached, self.description, long_text)
        self._texts += len(texts)
        self._reused += int(encoding.reused.sum())
        return encoding

    async def score(self, query: str, texts: Sequence[str], *, long_text: LongText = LongText.TRUNCATE) -> PairScores:
        """Score texts against the query; see CrossEncoder.score. Raises what encode() does.

        But it refuses nothing for its deadline: who reranks answers in time without it. Many texts are cut into micro-batches that take turns with those of other calls.
        """
        answer = await self._answer(
            [len(query) + len(text) for text in texts],
            Role.QUERY,
            long_text,
            lambda: self._workers[0].tokenizer.tokenize_pairs(query, texts),
            in_time=False,
        )
        self._texts += len(texts)
        return PairScores(answer.vectors[:, 0].copy(), answer.tokens, answer.truncated, answer.timings)

    async def close(self) -> None:
        """Fail what waits with ShuttingDownError, and release the threads and the workers."""
        self._closed = True
        closing = [asyncio.to_thread(worker.close) for worker in self._workers]
        await asyncio.gather(self._schedule.close(), *closing)
        # What is being tokenized runs to its end and is refused then: a cancelled future would look like a gone caller.
        for executor in self._tokenizers.values():
            executor.shutdown(wait=False)

    async def _answer(
        self,
        lengths: Sequence[int],
        role: Role,
        long_text: LongText,
        tokenize: Callable[[], list[TokenizedText]],
        keys: Sequence[bytes | None] | None = None,
        *,
        in_time: bool = True,
    ) -> Answer:
        self._refuse_when_closed()
        self.calls += 1
        try:
            started = perf_counter_ns()
            with charged(self._admission.estimate(lengths)) as count:
                tokenized, tokenize_ns = await self._tokenize(lengths, role, tokenize, in_time=in_time)
                self._admission.check(sum(map(len, tokenized)), role, in_time=in_time)
                refuses = long_text is LongText.REFUSE
                out = [refuses and text.truncated for text in tokenized]
                count(sum(len(text) for text, left in zip(tokenized, out, strict=True) if not left))
            ran = await self._schedule.run(tokenized, role, [row for row, left in enumerate(out) if not left], keys)
        finally:
            self.calls -= 1
        if keys and self._cache.capacity_bytes:
            self._keep(ran.vectors, tokenized, out, keys)
        queue_ns = perf_counter_ns() - started - tokenize_ns - ran.encode_ns
        if lengths:
            self._wait_seconds[role].add(queue_ns / 1e9)
        return Answer(
            vectors=ran.vectors,
            tokens=np.array(
                [text.counted if left else len(text) for text, left in zip(tokenized, out, strict=True)], np.int32
            ),
            truncated=np.array([text.truncated for text in tokenized], np.bool_),
            shared=ran.shared,
            timings=EncodeTimings(queue_ns=queue_ns, tokenize_ns=tokenize_ns, encode_ns=ran.encode_ns),
        )

    def _keep(
        self,
        vectors: NDArray[np.float32],
        tokenized: Sequence[TokenizedText],
        out: Sequence[bool],
        keys: Sequence[bytes | None],
    ) -> None:
        for row, (key, text) in enumerate(zip(keys, tokenized, strict=True)):
            if not out[row]:
                self._cache.put(key, CachedVector(vectors[row].copy(), len(text), text.counted))

    async def _tokenize(
        self, lengths: Sequence[int], role: Role, tokenize: Callable[[], list[TokenizedText]], *, in_time: bool
    ) -> tuple[list[TokenizedText], int]:
        """Admit and tokenize texts of these lengths in characters; return them and the nanoseconds of the work itself."""
        if not lengths:
            return [], 0
        with self._admission.reserve(lengths, role, in_time=in_time):
            if len(lengths) == 1 and lengths[0] <= SHORT_CHARACTERS:
                return _timed(tokenize)
            return await asyncio.get_running_loop().run_in_executor(self._tokenizers[role], _timed, tokenize)

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise ShuttingDownError(f"model {self.description.name} is closed")


def _timed(tokenize: Callable[[], list[TokenizedText]]) -> tuple[list[TokenizedText], int]:
    started = perf_counter_ns()
    return tokenize(), perf_counter_ns() - started
