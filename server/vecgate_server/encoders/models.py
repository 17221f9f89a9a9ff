"""The models a server is configured for: found, loaded and warmed at start or at first use."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from vecgate_server.encoders.base import ModelState, ModelStatus, Role
from vecgate_server.encoders.catalogue import CATALOGUE, DEFAULT_MODEL
from vecgate_server.encoders.pool import EncoderPool
from vecgate_server.encoders.runtime import Runtime
from vecgate_server.errors import ModelNotFoundError, ModelUnavailableError, ShuttingDownError

logger = logging.getLogger(__name__)

LONGEST_COMPARED_NAME = 200
LOAD_CLOSE_SECONDS = 5.0
"""Time that a load under way has to end when the models are closed; a download may take much longer, and begins again."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """One model.

    Attributes:
        name: what requests call it: a name of the catalogue, "owner/name" on the hub or, with a path, any name.
        path: its directory; None looks in the installed packages, the local cache and the hub.
    """

    name: str
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """The models of a server and how they run.

    Attributes:
        default: the model of requests that name none; one of models.
        models: every model that requests may name.
        preload: names of the models that start() loads; the others are loaded at their first use.
        threads: CPU threads of a run; 0 leaves the runtime's choice.
        device: where models run, such as "cpu" or "cuda".
        micro_batch_tokens: budget of one run of a model: rows times the longest text. Small values serve queries sooner
            while documents are encoded.
        queue_tokens: most tokens that may wait for a model, of queries and of documents each.
        cache_directory: the Hugging Face cache; None means the library's own.
        hub_endpoint: address of the hub; None means the library's own.

    Raises:
        ValueError: a name is there twice, default or preload names a model that is not in models, or a number is out of
            range.
    """

    default: str = DEFAULT_MODEL
    models: tuple[ModelSettings, ...] = tuple(ModelSettings(name) for name in CATALOGUE)
    preload: tuple[str, ...] = (DEFAULT_MODEL,)
    threads: int = 0
    device: str = "cpu"
    micro_batch_tokens: int = 1024
    queue_tokens: int = 262_144
    cache_directory: Path | None = None
    hub_endpoint: str | None = None

    def __post_init__(self) -> None:
        names = [model.name for model in self.models]
        if len(set(names)) != len(names):
            raise ValueError(f"a model is configured twice: {', '.join(sorted(names))}")
        for name in (self.default, *self.preload):
            if name not in names:
                raise ValueError(f"model {name} is not one of the configured ones: {', '.join(names)}")
        for setting, lowest in (("threads", 0), ("micro_batch_tokens", 1), ("queue_tokens", 1)):
            if getattr(self, setting) < lowest:
                raise ValueError(f"{setting} must be at least {lowest}")


RuntimeLoader = Callable[[ModelSettings, EncoderSettings], Runtime]


def load_runtime(model: ModelSettings, settings: EncoderSettings) -> Runtime:
    """Find a model and load it into the runtime of this server. Blocks for seconds; the first load imports torch.

    Raises:
        ModelUnavailableError: it was not found, is not the published model of its name, or cannot be loaded; or the
            extra that runs models is not installed.
    """
    try:
        # A server that stores raw vectors needs neither the extra nor the seconds and megabytes of its import.
        from vecgate_server.encoders.locate import locate  # noqa: PLC0415

        location = locate(
            model.name, path=model.path, cache_directory=settings.cache_directory, hub_endpoint=settings.hub_endpoint
        )
        # The expensive import comes last, so that a model that is nowhere is refused at once.
        from vecgate_server.encoders import sentence_transformers  # noqa: PLC0415

        runtime = sentence_transformers.load(location, model.name, device=settings.device, threads=settings.threads)
    except ImportError as error:
        raise ModelUnavailableError(
            f"model {model.name} needs {error.name}; install it with: pip install 'vecgate[encoders]'"
        ) from error
    published = CATALOGUE.get(model.name)
    found = (runtime.description.dimension, runtime.description.max_tokens)
    if published is not None and model.path is None and found != (published.dimension, published.max_tokens):
        raise ModelUnavailableError(
            f"model {model.name} from {location.source} has {found[0]} dimensions and reads {found[1]} tokens; the "
            f"published one has {published.dimension} and reads {published.max_tokens}"
        )
    return runtime


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
            logger.info("model %s is ready, from %s", name, runtime.description.source)
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
