"""Which runtime a model gets, and why."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vecgate_server.encoders.catalogue import CATALOGUE
from vecgate_server.encoders.matryoshka import with_dimensions_of_settings
from vecgate_server.encoders.runtime import Runtime
from vecgate_server.encoders.served_form import ServedFormError, is_served_form
from vecgate_server.encoders.settings import CPU, EncoderSettings, ModelSettings, Precision, RuntimeChoice
from vecgate_server.errors import ModelUnavailableError

if TYPE_CHECKING:
    from vecgate_server.encoders.locate import ModelLocation
    from vecgate_server.encoders.onnx_runtime import OnnxRuntime
    from vecgate_server.encoders.torch_runtime import TorchRuntime

logger = logging.getLogger(__name__)


def load_runtime(model: ModelSettings, settings: EncoderSettings) -> Runtime:
    """Find a model and load it into the runtime that the settings ask for. Blocks.

    That takes part of a second if its graph is in the cache, a minute or so if the graph is to be made, and seconds with torch.

    Raises:
        ModelUnavailableError: it was not found, is not the published model of its name, cannot be loaded, or cannot compute
            in the precision asked for; or the extra that runs models is not installed.
    """
    runtime: OnnxRuntime | TorchRuntime
    if model.path is not None and is_served_form(model.path):
        with _extra("onnx", model.name):
            runtime = _load_served_form(model, model.path, settings)
    else:
        with _extra("encoders", model.name):
            runtime = _load_sentence_transformer(model, settings)
    found = runtime.description
    if model.path is None:
        check_published(model.name, found.dimension, found.max_tokens, found.source)
    runtime.description = with_dimensions_of_settings(found, model.matryoshka_dimensions)
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


def _load_served_form(model: ModelSettings, path: Path, settings: EncoderSettings) -> OnnxRuntime:
    from vecgate_server.encoders import onnx_runtime  # noqa: PLC0415  # loaded where it is used

    reason = _reason_for_torch(settings)
    if reason:
        raise ModelUnavailableError(
            f"model {model.name}: {path} is a served form, which needs ONNX Runtime, but {reason}"
        )
    try:
        runtime = onnx_runtime.load(path, model.name, source=f"path {path}", threads=settings.threads)
    except ServedFormError as error:
        raise ModelUnavailableError(f"model {model.name}: {error}") from error
    made_in = runtime.description.precision
    # fp32 is what encoder.precision says by itself, so only a model's own entry asks for it.
    asked = model.precision or (Precision.INT8 if settings.precision is Precision.INT8 else made_in)
    if asked is not made_in:
        raise ModelUnavailableError(
            f"model {model.name}: {path} is a served form in {made_in}, but {asked} is asked for; "
            f"export it with --precision {asked}, or ask for {made_in} in its entry"
        )
    return runtime


def _load_sentence_transformer(model: ModelSettings, settings: EncoderSettings) -> OnnxRuntime | TorchRuntime:
    from vecgate_server.encoders.locate import locate  # noqa: PLC0415  # loaded where it is used

    location = locate(
        model.name, path=model.path, cache_directory=settings.cache_directory, hub_endpoint=settings.hub_endpoint
    )
    precision = model.precision or settings.precision
    reason = _reason_for_torch(settings)
    if not reason:
        try:
            return _load_graph(location, model.name, settings, precision)
        except (ServedFormError, ImportError) as error:
            if settings.runtime is RuntimeChoice.ONNX:
                raise ModelUnavailableError(f"model {model.name} does not run on ONNX Runtime: {error}") from error
            reason = str(error)
    if precision is not Precision.FP32:
        raise ModelUnavailableError(
            f"model {model.name} does not run in {precision}, which torch does not do: {reason}"
        )
    if settings.runtime is RuntimeChoice.AUTO and settings.device == CPU:
        logger.warning("model %s runs on torch: %s", model.name, reason)
    from vecgate_server.encoders import sentence_transformers  # noqa: PLC0415  # loaded where it is used

    return sentence_transformers.load(
        location, model.name, device=settings.device, threads=settings.threads, runtime_reason=reason
    )


def _load_graph(location: ModelLocation, name: str, settings: EncoderSettings, precision: Precision) -> OnnxRuntime:
    from vecgate_server.encoders import onnx_runtime  # noqa: PLC0415  # loaded where it is used
    from vecgate_server.encoders.graph_cache import cached_form  # noqa: PLC0415  # loaded where it is used

    form = cached_form(location.directory, settings.graph_directory, precision)
    return onnx_runtime.load(form, name, source=location.source, threads=settings.threads)


def _reason_for_torch(settings: EncoderSettings) -> str:
    """Say why ONNX Runtime is not even tried; empty if it is."""
    if settings.runtime is RuntimeChoice.TORCH:
        return "encoder.runtime is torch"
    if settings.device != CPU:
        return f"encoder.device is {settings.device}"
    return ""


def check_published(name: str, dimension: int, max_tokens: int, source: str) -> None:
    """Refuse a model of the catalogue that is not what its publisher says.

    Raises:
        ModelUnavailableError: its dimension or its maximum length is another one.
    """
    published = CATALOGUE.get(name)
    if published is not None and (dimension, max_tokens) != (published.dimension, published.max_tokens):
        raise ModelUnavailableError(
            f"model {name} from {source} has {dimension} dimensions and reads {max_tokens} "
            f"tokens; the published one has {published.dimension} and reads {published.max_tokens}"
        )
