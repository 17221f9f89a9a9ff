"""When which texts run on which worker."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from vecgate_backends.distribution import Distribution
from vecgate_server.encoders.base import ModelState, Role
from vecgate_server.encoders.encode_call import EncodeCall, Vectors
from vecgate_server.encoders.lanes import PRIORITY, Lanes, MicroBatch, QueuedText
from vecgate_server.encoders.runtime import Worker, WorkerDiedError
from vecgate_server.encoders.shared_texts import SharedTexts
from vecgate_server.encoders.tokenized_text import TokenizedText
from vecgate_server.errors import ModelUnavailableError, ShuttingDownError

logger = logging.getLogger(__name__)

# Weight of the newest micro-batch in the measured rate.
RATE_SMOOTHING = 0.2
SHORTEST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 60.0
UNKNOWN_RETRY_SECONDS = 1.0
TRIES = 2
"""Workers that a micro-batch may run on; the second one dying with it too makes it likely that others would as well."""


@dataclass(eq=False, slots=True)
class _Runner:
    """A place for one micro-batch on a worker, the roles it is for, and what runs there now."""

    worker: Worker
    roles: Sequence[Role]
    running: asyncio.Future[NDArray[np.float32]] | None = None


@dataclass(frozen=True, slots=True)
class _Run:
    """A micro-batch on a runner: when its first run began (perf_counter_ns), and the workers that died with it before."""

    runner: _Runner
    batch: MicroBatch[EncodeCall]
    started: int
    deaths: int = 0


class Schedule:
    """Runs the texts of calls in micro-batches; all bookkeeping happens on the event loop.

    A worker that can runs queries and documents side by side, and has a runner for each; another has one runner, which takes
    queries first. A free runner takes the next micro-batch at once: so what comes while all are busy is coalesced, and what
    finds one idle starts without delay.
    """

    def __init__(self, workers: Sequence[Worker], *, micro_batch_tokens: int, run_texts: Distribution) -> None:
        """Put the lanes in front of loaded workers of one model.

        Args:
            workers: the replicas.
            micro_batch_tokens: budget of one run of the model: rows times the longest text.
            run_texts: told how many texts each run has.
        """
        self._name = workers[0].description.name
        self._dimension = workers[0].description.dimension
        self._lanes: Lanes[EncodeCall] = Lanes(micro_batch_tokens=micro_batch_tokens)
        self._shared: SharedTexts[EncodeCall] = SharedTexts()
        self._runners = [runner for worker in workers for runner in _runners(worker)]
        self._tokens_a_second: dict[Role, float] = {}
        self._calls: set[EncodeCall] = set()
        # What a worker died with, until a runner takes it.
        self._again: deque[_Run] = deque()
        self._run_texts = run_texts
        self._closed = False
        self.runs = 0
        self.run_seconds = 0.0
        self.tokens_read = 0

    def waiting_tokens(self, role: Role) -> int:
        """Count the tokens in a role's lane."""
        return self._lanes.tokens(role)

    def drain_seconds(self, tokens: int, role: Role) -> float:
        """Estimate after how long a caller should come back if so many tokens of a role are to run before."""
        seconds = self.run_seconds_of(tokens, role)
        if seconds is None:
            return UNKNOWN_RETRY_SECONDS
        return min(max(seconds, SHORTEST_RETRY_SECONDS), LONGEST_RETRY_SECONDS)

    def run_seconds_of(self, tokens: int, role: Role) -> float | None:
        """Estimate how many seconds so many tokens of a role take, from the rate that was seen; None if none was seen yet."""
        rate = self._tokens_a_second.get(role)
        if rate is None:
            return None
        return tokens / (rate * sum(role in runner.roles for runner in self._runners))

    async def run(
        self,
        texts: Sequence[TokenizedText],
        role: Role,
        rows: Sequence[int],
        keys: Sequence[bytes | None] | None = None,
    ) -> Vectors:
        """Run some of a call's texts. Cancelling it drops what has not reached a model.

        Args:
            texts: the call's texts.
            role: their role.
            rows: which of them to run.
            keys: see QueuedText.key, one a text; None: none has one.

        Raises:
            ModelUnavailableError: the model broke down.
            ShuttingDownError: close() was called.
        """
        self._refuse_when_closed()
        vectors = np.full((len(texts), self._dimension), np.nan, np.float32)
        answer = Vectors(vectors, np.zeros(len(texts), np.bool_), 0)
        if not rows:
            return answer
        call = EncodeCall(answer, asyncio.get_running_loop().create_future(), missing=len(rows))
        call.queued = [QueuedText(call, row, texts[row], keys[row] if keys else None) for row in rows]
        self._calls.add(call)
        try:
            self._lanes.put(call, role, [queued for queued in call.queued if not self._shared.follows(queued, role)])
            self._dispatch()
            await call.done
        finally:
            self._calls.discard(call)
            self._drop(call, role)
        return Vectors(answer.vectors, answer.shared, call.encode_ns)

    async def close(self) -> None:
        """Fail what waits with ShuttingDownError, and wait for what runs; closing the workers ends it."""
        self._closed = True
        for call in list(self._calls):
            self._lanes.drop(call)
            call.fail(ShuttingDownError(f"model {self._name} is being closed"))
        running = [runner.running for runner in self._runners if runner.running is not None]
        if running:
            await asyncio.wait(running)

    def _drop(self, call: EncodeCall, role: Role) -> None:
        """Forget what waits of a call: all of it after a cancellation, nothing after success."""
        self._lanes.drop(call)
        for queued in call.queued:
            self._shared.forget(queued, role)

    def _dispatch(self) -> None:
        """Give every free runner a micro-batch while there are some."""
        for runner in self._free():
            run = self._next_run(runner)
            if run is not None:
                self._begin(run)

    def _next_run(self, runner: _Runner) -> _Run | None:
        """Return what runs there next: what a worker died with before what has not run yet."""
        for died in list(self._again):
            if died.batch.role in runner.roles:
                self._again.remove(died)
                return _Run(runner, died.batch, perf_counter_ns(), died.deaths)
        batch = self._take(runner.roles)
        return None if batch is None else _Run(runner, batch, perf_counter_ns())

    def _begin(self, run: _Run) -> None:
        running = run.runner.worker.forward([queued.text for queued in run.batch.texts], run.batch.role)
        run.runner.running = running
        # In no call's context: the micro-batch is of several, and its log records are of none of them.
        running.add_done_callback(partial(self._ran, run), context=Context())

    def _runs_again(self, run: _Run, died: WorkerDiedError) -> bool:
        """Keep a micro-batch that a worker died with for another run, if somebody still waits for it."""
        awaited = any(
            not queued.call.done.done() or self._shared.is_followed(queued, run.batch.role)
            for queued in run.batch.texts
        )
        if self._closed or not awaited or run.deaths + 1 == TRIES:
            return False
        logger.warning("model %s: %s; %d texts run again", self._name, died, len(run.batch.texts))
        self._again.append(_Run(run.runner, run.batch, run.started, run.deaths + 1))
        return True

    def _free(self) -> Iterator[_Runner]:
        """Order the free runners: of idle workers first. A worker that is being replaced gets work only if no other answers.

        One that FAILED refuses at once, so with all lanes at its feet it would refuse all that another could answer soon.
        """
        states = [runner.worker.state for runner in self._runners]
        best = next(state for state in (ModelState.READY, ModelState.LOADING, *states) if state in states)
        free = [runner for runner in self._runners if runner.worker.state is best and runner.running is None]
        busy = [runner.worker for runner in self._runners if runner.running is not None]
        return iter(sorted(free, key=lambda runner: runner.worker in busy))

    def _take(self, roles: Sequence[Role]) -> MicroBatch[EncodeCall] | None:
        """Take the next micro-batch, each text once; the copies of its texts leave their lanes."""
        batch = self._lanes.take(roles)
        if batch is None:
            return None
        texts = []
        in_batch = set(batch.texts)
        followers: set[QueuedText[EncodeCall]] = set()
        for queued in batch.texts:
            # Two copies in one micro-batch: the second was found to follow the first.
            if queued in followers:
                continue
            texts.append(queued)
            for copy in self._shared.begin(queued, batch.role):
                followers.add(copy)
                if copy not in in_batch:
                    self._lanes.leave(copy, batch.role)
        for call in {queued.call for queued in texts}:
            call.begin_run()
        return MicroBatch(batch.role, texts)

    def _ran(self, run: _Run, ran: asyncio.Future[NDArray[np.float32]]) -> None:
        run.runner.running = None
        batch = run.batch
        try:
            vectors = ran.result()
            self._check(vectors, batch)
        except WorkerDiedError as died:
            if not self._runs_again(run, died):
                self._fail(batch.role, self._all_ended(batch), died)
        except Exception as error:  # noqa: BLE001  # whatever it is, the calls get it
            self._fail(batch.role, self._all_ended(batch), error)
        else:
            self._count(batch, (perf_counter_ns() - run.started) / 1e9)
            for (queued, followers), vector in zip(self._ended(batch), vectors, strict=True):
                queued.call.receive(queued.row, vector, shared=False)
                for follower in followers:
                    follower.call.receive(follower.row, vector, shared=True)
        self._dispatch()

    def _all_ended(self, batch: MicroBatch[EncodeCall]) -> Sequence[QueuedText[EncodeCall]]:
        """Note that a micro-batch runs no more; return its texts and the copies that followed them."""
        return [queued for pair in self._ended(batch) for queued in (pair[0], *pair[1])]

    def _ended(
        self, batch: MicroBatch[EncodeCall]
    ) -> Sequence[tuple[QueuedText[EncodeCall], Sequence[QueuedText[EncodeCall]]]]:
        """Note that a micro-batch runs no more; return its texts with the copies that followed each."""
        for call in {queued.call for queued in batch.texts}:
            call.end_run()
        return [(queued, self._shared.end(queued, batch.role)) for queued in batch.texts]

    def _check(self, vectors: NDArray[np.float32], batch: MicroBatch[EncodeCall]) -> None:
        if vectors.shape != (len(batch.texts), self._dimension):
            raise ValueError(f"the model gave an array of shape {vectors.shape}")
        if not np.isfinite(vectors).all():
            raise ValueError("the model gave a vector that is not finite")

    def _count(self, batch: MicroBatch[EncodeCall], seconds: float) -> None:
        self.runs += 1
        self._run_texts.add(len(batch.texts))
        self.run_seconds += seconds
        self.tokens_read += batch.tokens
        if batch.tokens == 0:  # empty texts of a model without special tokens, which tell nothing of its speed
            return
        rate = batch.tokens / seconds
        known = self._tokens_a_second.get(batch.role, rate)
        self._tokens_a_second[batch.role] = known + RATE_SMOOTHING * (rate - known)

    def _fail(self, role: Role, texts: Sequence[QueuedText[EncodeCall]], cause: Exception) -> None:
        if isinstance(cause, WorkerDiedError):
            sentence = f"model {self._name}: {TRIES} workers died on the same texts, or did not answer in time"
        elif isinstance(cause, ModelUnavailableError | ShuttingDownError):
            sentence = str(cause)
        else:
            sentence = f"model {self._name} failed: {type(cause).__name__}"
            logger.error("model %s failed on %d texts", self._name, len(texts), exc_info=cause)
        for call in {queued.call for queued in texts}:
            self._drop(call, role)
            error = ShuttingDownError(sentence) if self._closed else ModelUnavailableError(sentence)
            error.__cause__ = cause
            call.fail(error)

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise ShuttingDownError(f"model {self._name} is closed")


def _runners(worker: Worker) -> Sequence[_Runner]:
    lanes: Sequence[Sequence[Role]] = [(role,) for role in PRIORITY] if worker.concurrent else [PRIORITY]
    return [_Runner(worker, roles) for roles in lanes]
