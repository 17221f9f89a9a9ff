"""One configured model: loaded, unloaded, and what it did meanwhile."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import fields, replace

from vecgate_server.encoders.base import (
    ModelCounters,
    ModelDescription,
    ModelDistributions,
    ModelState,
    ModelStatus,
)
from vecgate_server.encoders.pool import EncoderPool
from vecgate_server.encoders.runtime import Worker
from vecgate_server.encoders.settings import EncoderSettings, ModelSettings
from vecgate_server.encoders.vector_cache import VectorCache
from vecgate_server.errors import ModelUnavailableError, ShuttingDownError

logger = logging.getLogger(__name__)

WorkerStarter = Callable[[ModelSettings, EncoderSettings], Worker]
# Counters that say how things are now; the others add up over loads.
OF_NOW = frozenset({"waiting_tokens", "cache_bytes"})


class ServedModel:
    """A model of the settings, its workers while it is loaded, and its cache, which outlives them."""

    def __init__(
        self, model: ModelSettings, settings: EncoderSettings, *, start: WorkerStarter, loaders: Executor
    ) -> None:
        """Take the settings; nothing is loaded.

        Args:
            model: which model.
            settings: how models run.
            start: starts a worker.
            loaders: threads that wait for workers.
        """
        self.name = model.name
        self._model = model
        self._settings = replace(settings, threads=_threads(settings))
        self._start = start
        self._loaders = loaders
        self._cache = VectorCache(settings.cache_mib << 20)
        self._distributions = ModelDistributions()
        self._loading: asyncio.Task[EncoderPool] | None = None
        self._starting: list[Worker] = []
        self._detail = ""
        self._failed = False
        self._closed = False
        self._before = ModelCounters()
        self._closing: set[asyncio.Task[None]] = set()
        self._description: ModelDescription | None = None
        self.pool: EncoderPool | None = None
        self.uses = 0
        """Calls that are on their way to the pool or in it."""
        self.last_use = 0
        """The higher, the later it was used."""
        self.known_memory_bytes = 0
        """What its workers took when they were last loaded."""

    @property
    def memory_bytes(self) -> int:
        """What its workers take, as measured after they were loaded; 0 while it is not loaded."""
        pool = self.pool
        return pool.memory_bytes if pool else 0

    @property
    def state(self) -> ModelState:
        """Whether it can answer now."""
        if (pool := self.pool) is not None:
            return pool.health.state
        if self._loading is not None:
            return ModelState.LOADING
        return ModelState.FAILED if self._failed else ModelState.AVAILABLE

    def status(self, *, is_default: bool) -> ModelStatus:
        """Describe it. May be called from any thread."""
        pool = self.pool
        return ModelStatus(
            name=self.name,
            is_default=is_default,
            state=self.state,
            description=self._description,
            detail=pool.health.detail if pool else self._detail,
            memory_bytes=self.memory_bytes,
            counters=_added(self._before, pool.counters) if pool else self._before,
            distributions=self._distributions,
        )

    def begin(self) -> None:
        """Start the first worker ahead of load(), which waits for it."""
        # What hinders it here is told by load().
        with suppress(OSError):
            self._starting = [self._start(self._model, self._settings)]

    async def load(self) -> EncoderPool:
        """Return its pool, loading it if need be; concurrent callers share one load.

        Raises:
            ModelUnavailableError: it cannot be loaded.
            ShuttingDownError: it is closed.
        """
        self._refuse_when_closed()
        if self.pool is not None:
            return self.pool
        if self._loading is None:
            self._loading = asyncio.create_task(self._load())
        # One caller that goes away does not take the load from the others.
        return await asyncio.shield(self._loading)

    async def unload(self, detail: str = "") -> None:
        """End its workers, so that their memory is free; with a detail, the model counts as FAILED until its next load.

        Whoever waits for it may go away: the workers end all the same.
        """
        pool = self.pool
        self._failed, self._detail = bool(detail), detail
        if pool is None:
            return
        counted = replace(_added(self._before, pool.counters), waiting_tokens={}, cache_bytes=self._cache.bytes)
        self.pool, self._before = None, counted
        closing = asyncio.create_task(pool.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        await asyncio.shield(closing)

    async def close(self) -> None:
        """End its workers, also those that are loading, for good."""
        self._closed = True
        for worker in self._starting:
            await asyncio.to_thread(worker.close)
        if self._loading is not None:
            await asyncio.gather(self._loading, return_exceptions=True)
        await self.unload()
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _load(self) -> EncoderPool:
        try:
            workers = await self._load_workers()
        except ShuttingDownError:
            raise
        except ModelUnavailableError as error:
            self._failed, self._detail = True, error.message
            logger.warning("%s", error)
            raise
        except Exception as error:
            self._failed, self._detail = True, f"{type(error).__name__}: {error}"
            logger.exception("model %s cannot be loaded", self.name)
            raise ModelUnavailableError(f"model {self.name} cannot be loaded: {self._detail}") from error
        else:
            self._failed, self._detail = False, ""
            self.pool = EncoderPool(
                workers,
                micro_batch_tokens=self._settings.micro_batch_tokens,
                queue_tokens=self._settings.queue_tokens,
                cache=self._cache,
                distributions=self._distributions,
            )
            self.known_memory_bytes = self.pool.memory_bytes
            self._description = self.pool.description
            found = self.pool.description
            logger.info("model %s is ready on %s, from %s", self.name, found.runtime, found.source)
            return self.pool
        finally:
            self._loading, self._starting = None, []

    async def _load_workers(self) -> Sequence[Worker]:
        """Load the first worker, which may have to make the graph, and then the others side by side."""
        workers = self._starting = self._starting or [self._start(self._model, self._settings)]
        try:
            await self._wait_for(workers)
            self._refuse_when_closed()
            others = [self._start(self._model, self._settings) for _ in range(self._settings.workers - 1)]
            workers += others
            await self._wait_for(others)
            self._refuse_when_closed()
            _refuse_unequal([worker.description for worker in workers])
        except BaseException:
            for worker in workers:
                await asyncio.to_thread(worker.close)
            raise
        return workers

    async def _wait_for(self, workers: Sequence[Worker]) -> None:
        loop = asyncio.get_running_loop()
        loads = [loop.run_in_executor(self._loaders, worker.load) for worker in workers]
        failures = [ended for ended in await asyncio.gather(*loads, return_exceptions=True) if ended is not None]
        if failures:
            raise failures[0]

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise ShuttingDownError("the models are being closed")


def _threads(settings: EncoderSettings) -> int:
    """Return the threads of a run; with one worker the runtime's own choice, which knows the machine."""
    if settings.threads or settings.workers == 1:
        return settings.threads
    return max(1, (os.cpu_count() or 1) // settings.workers)


def _refuse_unequal(descriptions: Sequence[ModelDescription]) -> None:
    first = descriptions[0]
    if any(other.fingerprint != first.fingerprint for other in descriptions):
        raise ModelUnavailableError(f"model {first.name} changed on the disk while its workers were loading")


def _added(before: ModelCounters, now: ModelCounters) -> ModelCounters:
    sums = {
        each.name: getattr(before, each.name) + getattr(now, each.name)
        for each in fields(ModelCounters)
        if each.name not in OF_NOW
    }
    return replace(now, **sums)
