"""Which runtime a model gets, and why."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vecgate_server.encoders.base import ModelDescription
from vecgate_server.encoders.catalogue import CATALOGUE
from vecgate_server.encoders.runtime import Runtime
from vecgate_server.encoders.served_form import ServedFormError, is_served_form
from vecgate_server.encoders.settings import CPU, EncoderSettings, ModelSettings, RuntimeChoice
from vecgate_server.errors import ModelUnavailableError

if TYPE_CHECKING:
    from vecgate_server.encoders.locate import ModelLocation

logger = logging.getLogger(__name__)


def load_runtime(model: ModelSettings, settings: EncoderSettings) -> Runtime:
    """Find a model and load it into the runtime that the settings ask for. Blocks.

    That takes part of a second if its graph is in the cache, a minute or so if the graph is to be made, and seconds with torch.

    Raises:
        ModelUnavailableError: it was not found, is not the published model of its name, or cannot be loaded; or the
            extra that runs models is not installed.
    """
    if model.path is not None and is_served_form(model.path):
        with _extra("onnx", model.name):
            return _load_served_form(model.name, model.path, settings)
    with _extra("encoders", model.name):
        runtime = _load_sentence_transformer(model, settings)
    if model.path is None:
        _check_published(runtime.description)
    return runtime


@contextmanager
def _extra(extra: str, name: str) -> Iterator[None]:
    """Name the extra that a model needs, if a library is missing."""
    try:
        yield
    except ImportError as error:
        raise ModelUnavailableError(
            f"model {name} needs {error.name}; install it with: pip install 'vecgate[{extra}]'"
        ) from error


# Imports stand where they are needed: a server of raw vectors needs no extra, and one whose graphs are made no torch.


def _load_served_form(name: str, path: Path, settings: EncoderSettings) -> Runtime:
    from vecgate_server.encoders import onnx_runtime  # noqa: PLC0415

    reason = _reason_for_torch(settings)
    if reason:
        raise ModelUnavailableError(f"model {name}: {path} is a served form, which needs ONNX Runtime, but {reason}")
    try:
        return onnx_runtime.load(path, name, source=f"path {path}", threads=settings.threads)
    except ServedFormError as error:
        raise ModelUnavailableError(f"model {name}: {error}") from error


def _load_sentence_transformer(model: ModelSettings, settings: EncoderSettings) -> Runtime:
    from vecgate_server.encoders.locate import locate  # noqa: PLC0415

    location = locate(
        model.name, path=model.path, cache_directory=settings.cache_directory, hub_endpoint=settings.hub_endpoint
    )
    reason = _reason_for_torch(settings)
    if not reason:
        try:
            return _load_graph(location, model.name, settings)
        except (ServedFormError, ImportError) as error:
            if settings.runtime is RuntimeChoice.ONNX:
                raise ModelUnavailableError(f"model {model.name} does not run on ONNX Runtime: {error}") from error
            logger.warning("model %s runs on torch: %s", model.name, error)
            reason = str(error)
    from vecgate_server.encoders import sentence_transformers  # noqa: PLC0415

    return sentence_transformers.load(
        location, model.name, device=settings.device, threads=settings.threads, runtime_reason=reason
    )


def _load_graph(location: ModelLocation, name: str, settings: EncoderSettings) -> Runtime:
    from vecgate_server.encoders import onnx_runtime  # noqa: PLC0415
    from vecgate_server.encoders.graph_cache import cached_form  # noqa: PLC0415

    form = cached_form(location.directory, settings.graph_directory)
    return onnx_runtime.load(form, name, source=location.source, threads=settings.threads)


def _reason_for_torch(settings: EncoderSettings) -> str:
    """Say why ONNX Runtime is not even tried; empty if it is."""
    if settings.runtime is RuntimeChoice.TORCH:
        return "encoder.runtime is torch"
    if settings.device != CPU:
        return f"encoder.device is {settings.device}"
    return ""


def _check_published(found: ModelDescription) -> None:
    """Refuse a model of the catalogue that is not what its publisher says."""
    published = CATALOGUE.get(found.name)
    if published is not None and (found.dimension, found.max_tokens) != (published.dimension, published.max_tokens):
        raise ModelUnavailableError(
            f"model {found.name} from {found.source} has {found.dimension} dimensions and reads {found.max_tokens} "
            f"tokens; the published one has {published.dimension} and reads {published.max_tokens}"
        )
