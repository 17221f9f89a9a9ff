"""The models a server is configured for: found, loaded and warmed at start or at first use."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from difflib import get_close_matches

from vecgate_server.encoders.base import CrossEncoder, ModelState, ModelStatus, Role
from vecgate_server.encoders.pool import EncoderPool
from vecgate_server.encoders.runtime import Runtime
from vecgate_server.encoders.runtime_choice import load_runtime
from vecgate_server.encoders.settings import EncoderSettings, ModelSettings
from vecgate_server.errors import ModelKindError, ModelNotFoundError, ModelUnavailableError, ShuttingDownError

logger = logging.getLogger(__name__)

RuntimeLoader = Callable[[ModelSettings, EncoderSettings], Runtime]

LONGEST_COMPARED_NAME = 200
LOAD_CLOSE_SECONDS = 5.0
"""Time that a load under way has to end when the models are closed; a download may take much longer, and begins again."""


@dataclass(slots=True)
class _Model:
    """A configured model and what became of it."""

    settings: ModelSettings
    state: ModelState = ModelState.AVAILABLE
    detail: str = ""
    encoder: EncoderPool | None = None
    loading: asyncio.Task[EncoderPool] | None = field(default=None)


class ModelPool:
    """Implements Models. Concurrent first uses of a model share one load; after a failed load the next use tries again."""

    def __init__(self, settings: EncoderSettings, *, load: RuntimeLoader = load_runtime) -> None:
        """Take the settings; nothing is loaded before start() or the first use.

        Args:
            settings: which models, and how they run.
            load: makes the runtime of a model; it is called in a thread.
        """
        self._settings = settings
        self._load = load
        self._models = {model.name: _Model(model) for model in settings.models}
        # Loads come one after another: each fills the memory bus and the first one imports torch.
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load model")
        self._closed = False

    async def start(self) -> None:
        """Load and warm the models of settings.preload.

        Raises:
            ModelUnavailableError: one of them cannot be loaded.
        """
        for name in self._settings.preload:
            await self.encoder(name)

    async def close(self) -> None:
        """Drop queued work and release every model; a load under way has LOAD_CLOSE_SECONDS to end."""
        self._closed = True
        loads = [model.loading for model in self._models.values() if model.loading is not None]
        if loads:
            _, unfinished = await asyncio.wait(loads, timeout=LOAD_CLOSE_SECONDS)
            for load in unfinished:
                load.cancel()
            await asyncio.gather(*loads, return_exceptions=True)
        for model in self._models.values():
            if model.encoder is not None:
                await model.encoder.close()
                model.encoder = None
            model.state = ModelState.AVAILABLE
        self._loader.shutdown(wait=False, cancel_futures=True)

    async def encoder(self, name: str | None) -> EncoderPool:
        """Return the model's encoder, loading it if need be; None means the default model.

        Raises:
            ModelNotFoundError: not configured.
            ModelUnavailableError: it cannot be loaded; the message says why.
            ShuttingDownError: the pool is closed.
        """
        if self._closed:
            raise ShuttingDownError("the models are being closed")
        model = self._model(self._settings.default if name is None else name)
        if model.encoder is not None:
            return model.encoder
        if model.loading is None:
            model.state = ModelState.LOADING
            model.loading = asyncio.create_task(self._load_and_warm(model))
        # One caller that goes away does not take the load from the others.
        return await asyncio.shield(model.loading)

    async def cross_encoder(self, name: str) -> CrossEncoder:
        """Return a cross-encoder; see Models.cross_encoder."""
        raise ModelKindError(f"model {self._model(name).settings.name} is no cross-encoder")

    def statuses(self) -> Sequence[ModelStatus]:
        """Describe every configured model, the default first."""
        return [
            ModelStatus(
                name=name,
                is_default=name == self._settings.default,
                state=model.state,
                description=model.encoder.description if model.encoder is not None else None,
                detail=model.detail,
            )
            for name, model in sorted(self._models.items(), key=lambda item: item[0] != self._settings.default)
        ]

    @property
    def ready(self) -> bool:
        """Whether every model of settings.preload is warm."""
        return all(self._models[name].state is ModelState.READY for name in self._settings.preload)

    def _model(self, name: str) -> _Model:
        model = self._models.get(name)
        if model is None:
            # Looking for what is near takes seconds for a name of megabytes.
            near = get_close_matches(name[:LONGEST_COMPARED_NAME], self._models, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise ModelNotFoundError(f"no model is called {name!r} here, only {', '.join(self._models)}{meant}")
        return model

    async def _load_and_warm(self, model: _Model) -> EncoderPool:
        name = model.settings.name
        try:
            runtime = await asyncio.get_running_loop().run_in_executor(
                self._loader, self._load, model.settings, self._settings
            )
            encoder = EncoderPool(
                runtime,
                micro_batch_tokens=self._settings.micro_batch_tokens,
                queue_tokens=self._settings.queue_tokens,
            )
            await _warm(encoder)
        except asyncio.CancelledError:  # by close(); a caller that leaves does not cancel a load
            raise ShuttingDownError("the models are being closed") from None
        except ModelUnavailableError as error:
            model.state, model.detail = ModelState.FAILED, error.message
            logger.warning("%s", error)
            raise
        except Exception as error:
            model.state, model.detail = ModelState.FAILED, f"{type(error).__name__}: {error}"
            logger.exception("model %s cannot be loaded", name)
            raise ModelUnavailableError(f"model {name} cannot be loaded: {model.detail}") from error
        else:
            model.encoder, model.state, model.detail = encoder, ModelState.READY, ""
            logger.info(
                "model %s is ready on %s, from %s", name, runtime.description.runtime, runtime.description.source
            )
            return encoder
        finally:
            model.loading = None


async def _warm(encoder: EncoderPool) -> None:
    """Run the model once: the first run allocates and chooses kernels, and no request should wait for that."""
    try:
        await encoder.encode(["warm"], Role.QUERY)
    except Exception:
        await encoder.close()
        raise
