"""The encoder of one model: bounded queues in front of one worker that runs micro-batches."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from vecgate_server.encoders.base import EncodeTimings, Encoding, LongText, ModelDescription, Role
from vecgate_server.encoders.lanes import Lanes, MicroBatch, QueuedText
from vecgate_server.encoders.runtime import Runtime
from vecgate_server.encoders.tokenized_text import TokenizedText
from vecgate_server.errors import EncoderBusyError, ModelUnavailableError, ShuttingDownError

logger = logging.getLogger(__name__)

# Word pieces of prose have 4 to 5 characters; the estimate stands until the tokens are counted.
ESTIMATED_CHARACTERS_A_TOKEN = 4
# Weight of the newest micro-batch in the measured rate.
RATE_SMOOTHING = 0.2
SHORTEST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 60.0


@dataclass(eq=False, slots=True)
class _Call:
    """One encode call under way; compared by identity."""

    vectors: NDArray[np.float32]
    done: asyncio.Future[None]
    rows_missing: int
    encode_ns: int = field(default=0)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class EncoderPool:
    """An Encoder over a Runtime.

    All bookkeeping happens on the event loop; three threads do what takes time: one runs the model, one for each role
    tokenizes. The worker takes the next micro-batch as soon as it is free: so calls that come while it is busy are
    coalesced, and a call that finds it idle starts at once.
    """

    def __init__(self, runtime: Runtime, *, micro_batch_tokens: int, queue_tokens: int) -> None:
        """Put the queues in front of a loaded model.

        Args:
            runtime: the model.
            micro_batch_tokens: budget of one run of the model: rows times the longest text.
            queue_tokens: most tokens that may wait in each role's lane. A call that finds its lane empty is always
                taken, however large, because a retry could not help it.
        """
        self._runtime = runtime
        self._queue_tokens = queue_tokens
        self._lanes: Lanes[_Call] = Lanes(micro_batch_tokens=micro_batch_tokens)
        self._estimated_tokens = dict.fromkeys(Role, 0)
        self._tokens_a_second: float | None = None
        name = runtime.description.name
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"encode {name}")
        # A query is not tokenized behind a thousand documents.
        self._tokenizers = {role: ThreadPoolExecutor(1, thread_name_prefix=f"tokenize {role} {name}") for role in Role}
        self._draining: asyncio.Task[None] | None = None
        self._calls: set[_Call] = set()
        self._closed = False

    @property
    def description(self) -> ModelDescription:
        """What the model is."""
        return self._runtime.description

    async def encode(self, texts: Sequence[str], role: Role, *, long_text: LongText = LongText.TRUNCATE) -> Encoding:
        """Encode texts; see Encoder.encode.

        Raises:
            EncoderBusyError: the role's lane is full; nothing was encoded, retry_after is told.
            ModelUnavailableError: the model broke down.
            ShuttingDownError: the pool is closed, or was closed before the answer was complete.
        """
        started = perf_counter_ns()
        tokenized, tokenize_ns = await self._tokenize(texts, role)
        refused = np.array([text.truncated for text in tokenized], dtype=np.bool_)
        if long_text is LongText.TRUNCATE:
            refused[:] = False
        vectors, encode_ns = await self._run(tokenized, role, refused)
        return Encoding(
            vectors=vectors,
            tokens=np.array(
                [text.counted if out else len(text) for text, out in zip(tokenized, refused, strict=True)],
                dtype=np.int32,
            ),
            truncated=np.array([text.truncated for text in tokenized], dtype=np.bool_),
            reused=np.zeros(len(tokenized), dtype=np.bool_),
            timings=EncodeTimings(
                queue_ns=perf_counter_ns() - started - tokenize_ns - encode_ns,
                tokenize_ns=tokenize_ns,
                encode_ns=encode_ns,
            ),
        )

    async def close(self) -> None:
        """Fail what waits with ShuttingDownError, let the running micro-batch end, and release the threads."""
        self._closed = True
        for call in list(self._calls):
            self._lanes.drop(call)
            call.fail(ShuttingDownError(f"model {self.description.name} is being closed"))
        if self._draining is not None:
            await self._draining
        # What is being tokenized runs to its end and is refused then: a cancelled future would look like a gone caller.
        for executor in (self._worker, *self._tokenizers.values()):
            executor.shutdown(wait=False)

    async def _tokenize(self, texts: Sequence[str], role: Role) -> tuple[list[TokenizedText], int]:
        """Admit and tokenize the texts; return them and the nanoseconds of the work itself."""
        self._refuse_when_closed()
        estimate = self._admit(texts, role)
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._tokenizers[role], _timed_tokenize, self._runtime, texts, role
            )
        finally:
            self._estimated_tokens[role] -= estimate

    def _admit(self, texts: Sequence[str], role: Role) -> int:
        """Refuse a call that does not fit, before any work is spent on it; return the tokens reserved for it."""
        longest = self.description.max_tokens
        estimate = sum(min(longest, 2 + len(text) // ESTIMATED_CHARACTERS_A_TOKEN) for text in texts)
        waiting = self._lanes.tokens(role) + self._estimated_tokens[role]
        if waiting and waiting + estimate > self._queue_tokens:
            raise EncoderBusyError(
                f"{waiting} tokens wait in the {role} queue of model {self.description.name}, which takes "
                f"{self._queue_tokens}",
                retry_after=self._drain_seconds(waiting + estimate - self._queue_tokens),
            )
        self._estimated_tokens[role] += estimate
        return estimate

    def _drain_seconds(self, tokens: int) -> float:
        """Estimate how long the worker takes for so many tokens, from the rate it was seen to have."""
        if self._tokens_a_second is None:
            return 1.0
        return min(max(tokens / self._tokens_a_second, SHORTEST_RETRY_SECONDS), LONGEST_RETRY_SECONDS)

    async def _run(
        self, tokenized: Sequence[TokenizedText], role: Role, refused: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], int]:
        """Queue the texts and wait for their vectors; return them and the nanoseconds of the model's runs."""
        self._refuse_when_closed()
        kept = np.flatnonzero(~refused).tolist()
        vectors = np.full((len(tokenized), self.description.dimension), np.nan, dtype=np.float32)
        if not kept:
            return vectors, 0
        call = _Call(vectors, asyncio.get_running_loop().create_future(), rows_missing=len(kept))
        self._calls.add(call)
        self._lanes.put(call, role, [QueuedText(call, row, tokenized[row]) for row in kept])
        if self._draining is None or self._draining.done():
            self._draining = asyncio.create_task(self._drain())
        try:
            await call.done
        finally:
            # After a cancellation the rest must not reach the model; after success there is none.
            self._lanes.drop(call)
            self._calls.discard(call)
        return vectors, call.encode_ns

    async def _drain(self) -> None:
        """Run micro-batches until nothing is queued. A failed one fails its calls, and the next one runs."""
        loop = asyncio.get_running_loop()
        while (batch := self._lanes.take()) is not None:
            started = perf_counter_ns()
            try:
                vectors = await loop.run_in_executor(
                    self._worker, self._runtime.forward, [queued.text for queued in batch.texts], batch.role
                )
                self._deliver(batch, vectors, perf_counter_ns() - started)
            except Exception as error:
                logger.exception("model %s failed on %d texts", self.description.name, len(batch.texts))
                self._fail(batch, error)

    def _deliver(self, batch: MicroBatch[_Call], vectors: NDArray[np.float32], elapsed_ns: int) -> None:
        if vectors.shape != (len(batch.texts), self.description.dimension):
            raise ValueError(f"the model gave an array of shape {vectors.shape}")
        if not np.isfinite(vectors).all():
            raise ValueError("the model gave a vector that is not finite")
        for call in {queued.call for queued in batch.texts}:
            call.encode_ns += elapsed_ns
        for queued, vector in zip(batch.texts, vectors, strict=True):
            queued.call.vectors[queued.row] = vector
            queued.call.rows_missing -= 1
            if queued.call.rows_missing == 0 and not queued.call.done.done():
                queued.call.done.set_result(None)
        rate = batch.tokens / (elapsed_ns / 1e9)
        known = self._tokens_a_second
        self._tokens_a_second = rate if known is None else known + RATE_SMOOTHING * (rate - known)

    def _fail(self, batch: MicroBatch[_Call], cause: Exception) -> None:
        for call in {queued.call for queued in batch.texts}:
            self._lanes.drop(call)
            error = ModelUnavailableError(f"model {self.description.name} failed: {type(cause).__name__}")
            error.__cause__ = cause
            call.fail(error)

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise ShuttingDownError(f"model {self.description.name} is closed")


def _timed_tokenize(runtime: Runtime, texts: Sequence[str], role: Role) -> tuple[list[TokenizedText], int]:
    started = perf_counter_ns()
    return runtime.tokenizer.tokenize(texts, role), perf_counter_ns() - started
