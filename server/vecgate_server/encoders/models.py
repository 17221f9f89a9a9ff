"""The models a server is configured for: loaded at start or at first use, unloaded when memory runs short."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from difflib import get_close_matches

from vecgate_server.encoders.base import (
    Encoding,
    LongText,
    ModelDescription,
    ModelKind,
    ModelState,
    ModelStatus,
    PairScores,
    Role,
)
from vecgate_server.encoders.pool import EncoderPool
from vecgate_server.encoders.served_model import ServedModel, WorkerStarter
from vecgate_server.encoders.settings import EncoderSettings
from vecgate_server.encoders.worker import ProcessWorker
from vecgate_server.errors import ModelKindError, ModelNotFoundError, ModelUnavailableError, ShuttingDownError

logger = logging.getLogger(__name__)

LONGEST_COMPARED_NAME = 200
# They only wait for processes; models load side by side.
LOADER_THREADS = 64
MIB = 1 << 20
KINDS_IN_WORDS = {ModelKind.ENCODER: "an encoder", ModelKind.CROSS_ENCODER: "a cross-encoder"}


class ModelPool:
    """Implements Models. Concurrent first uses of a model share one load; after a failed load the next use tries again."""

    def __init__(self, settings: EncoderSettings, *, start: WorkerStarter = ProcessWorker) -> None:
        """Take the settings; nothing is loaded before start() or the first use.

        Args:
            settings: which models, and how they run.
            start: starts a worker for a model.
        """
        self._settings = settings
        self._loaders = ThreadPoolExecutor(LOADER_THREADS, thread_name_prefix="load model")
        self._models = {
            model.name: ServedModel(model, settings, start=start, loaders=self._loaders) for model in settings.models
        }
        self._clock = itertools.count(1)
        self._closed = False

    def begin(self) -> None:
        """Start the workers of settings.preload ahead of start(), which waits for them; needs no event loop."""
        for name in self._settings.preload:
            self._models[name].begin()

    async def start(self) -> None:
        """Load and warm the models of settings.preload, side by side.

        Raises:
            ModelUnavailableError: one of them cannot be loaded, or they pass the memory budget.
        """
        loads = [self._load(self._models[name]) for name in self._settings.preload]
        for ended in await asyncio.gather(*loads, return_exceptions=True):
            if isinstance(ended, BaseException):
                raise ended

    async def close(self) -> None:
        """Drop queued work and release every model; a load under way is given up."""
        self._closed = True
        await asyncio.gather(*(model.close() for model in self._models.values()))
        self._loaders.shutdown(wait=False, cancel_futures=True)

    async def encoder(self, name: str | None) -> LoadedModel:
        """Return the model's encoder, loading it if need be; None means the default model. See Models.encoder."""
        return await self._of_kind(self._settings.default if name is None else name, ModelKind.ENCODER)

    async def cross_encoder(self, name: str) -> LoadedModel:
        """Return a cross-encoder, loading it if need be. See Models.cross_encoder."""
        return await self._of_kind(name, ModelKind.CROSS_ENCODER)

    def statuses(self) -> Sequence[ModelStatus]:
        """Describe every configured model, the default first."""
        return [
            model.status(is_default=model.name == self._settings.default)
            for model in sorted(self._models.values(), key=lambda model: model.name != self._settings.default)
        ]

    @property
    def ready(self) -> bool:
        """Whether every model of settings.preload is warm."""
        return all(self._models[name].state is ModelState.READY for name in self._settings.preload)

    @asynccontextmanager
    async def in_use(self, model: ServedModel, expected: ModelDescription) -> AsyncIterator[EncoderPool]:
        """Hold a model's pool for a call, loading it again if it was unloaded; it is not unloaded meanwhile.

        Raises:
            ModelUnavailableError: it cannot be loaded, or is not the one that the call is for any more.
        """
        model.uses += 1
        model.last_use = next(self._clock)
        try:
            pool = await self._load(model)
            if pool.description.fingerprint != expected.fingerprint:
                raise ModelUnavailableError(f"model {model.name} was replaced by another while the call was under way")
            yield pool
        finally:
            model.uses -= 1
            model.last_use = next(self._clock)
            if self._over_budget():
                await self._make_room()

    async def _of_kind(self, name: str, kind: ModelKind) -> LoadedModel:
        if self._closed:
            raise ShuttingDownError("the models are being closed")
        model = self._model(name)
        # In use, so that another load does not take it away before it is looked at.
        model.uses += 1
        model.last_use = next(self._clock)
        try:
            description = (await self._load(model)).description
        finally:
            model.uses -= 1
        if description.kind is not kind:
            raise ModelKindError(
                f"model {name} is {KINDS_IN_WORDS[description.kind]}, and {KINDS_IN_WORDS[kind]} is needed here"
            )
        return LoadedModel(self, model, description)

    async def _load(self, model: ServedModel) -> EncoderPool:
        if (loaded := model.pool) is not None:
            return loaded
        # What it took last time is what it will take.
        await self._refuse_too_large(model)
        await self._make_room(model.known_memory_bytes, keep=model)
        pool = await model.load()
        if self._over_budget():
            await self._make_room(keep=model)
            await self._refuse_too_large(model)
        if model.pool is not pool:
            raise ModelUnavailableError(f"model {model.name} was unloaded again at once")
        return pool

    def _over_budget(self, coming: int = 0) -> bool:
        budget = self._settings.memory_budget_mib * MIB
        return bool(budget) and coming + sum(model.memory_bytes for model in self._models.values()) > budget

    async def _make_room(self, coming: int = 0, keep: ServedModel | None = None) -> None:
        """Unload idle models, the one not used for longest first, until the rest and what is coming fit the budget."""
        while self._over_budget(coming):
            idle = [
                model
                for model in self._models.values()
                if model.pool and not model.uses and model is not keep and model.name not in self._settings.preload
            ]
            if not idle:
                return
            model = min(idle, key=lambda model: model.last_use)
            logger.info("model %s is unloaded: %d MiB are needed by others", model.name, model.memory_bytes // MIB)
            await model.unload()

    async def _refuse_too_large(self, model: ServedModel) -> None:
        """Unload a model again that does not fit even beside none but the preloaded ones.

        Raises:
            ModelUnavailableError: that is so.
        """
        if not self._settings.memory_budget_mib:
            return
        preloaded = sum(self._models[name].memory_bytes for name in {*self._settings.preload} - {model.name})
        if model.known_memory_bytes + preloaded <= self._settings.memory_budget_mib * MIB:
            return
        refusal = (
            f"model {model.name} takes {model.known_memory_bytes // MIB} MiB and the other preloaded ones {preloaded // MIB} MiB, "
            f"but encoder.memory_budget_mib is {self._settings.memory_budget_mib}"
        )
        logger.warning("%s", refusal)
        await model.unload(refusal)
        raise ModelUnavailableError(refusal)

    def _model(self, name: str) -> ServedModel:
        model = self._models.get(name)
        if model is None:
            # Looking for what is near takes seconds for a name of megabytes.
            near = get_close_matches(name[:LONGEST_COMPARED_NAME], self._models, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise ModelNotFoundError(f"no model is called {name!r} here, only {', '.join(self._models)}{meant}")
        return model


class LoadedModel:
    """Implements Encoder, or CrossEncoder, by the description's kind. It may be unloaded between calls, and loads again."""

    def __init__(self, models: ModelPool, model: ServedModel, description: ModelDescription) -> None:
        self._models = models
        self._model = model
        self.description = description

    async def encode(self, texts: Sequence[str], role: Role, *, long_text: LongText = LongText.TRUNCATE) -> Encoding:
        """Encode texts; see EncoderPool.encode."""
        async with self._models.in_use(self._model, self.description) as pool:
            return await pool.encode(texts, role, long_text=long_text)

    async def score(self, query: str, texts: Sequence[str], *, long_text: LongText = LongText.TRUNCATE) -> PairScores:
        """Score texts; see EncoderPool.score."""
        async with self._models.in_use(self._model, self.description) as pool:
            return await pool.score(query, texts, long_text=long_text)
