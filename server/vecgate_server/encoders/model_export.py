"""Writing a model's served form where a user wants it, so that an image can serve the model without torch."""

from __future__ import annotations

import shutil
from pathlib import Path

from vecgate_server.encoders.graph_cache import cached_form
from vecgate_server.encoders.locate import locate
from vecgate_server.encoders.runtime_choice import check_published
from vecgate_server.encoders.served_form import ServedForm, ServedFormError, is_served_form, read_served_form
from vecgate_server.encoders.settings import EncoderSettings, ModelSettings
from vecgate_server.errors import ModelUnavailableError


def export_model(model: ModelSettings, settings: EncoderSettings, directory: Path) -> ServedForm:
    """Write a model's served form as a new directory, which appears complete or not at all. Blocks.

    The form is taken from the cache of graphs, and made there first if need be.

    Args:
        model: which model, and in which precision.
        settings: where models and graphs are kept.
        directory: where to; it must not exist.

    Raises:
        ModelUnavailableError: the model was not found, is not the published model of its name, or has no served form.
        FileExistsError: the directory exists.
        OSError: it cannot be written.
    """
    if directory.exists():
        raise FileExistsError(f"{directory} exists; name a new directory")
    if model.path is not None and is_served_form(model.path):
        raise ModelUnavailableError(f"model {model.name}: {model.path} is a served form already; copy it")
    location = locate(
        model.name, path=model.path, cache_directory=settings.cache_directory, hub_endpoint=settings.hub_endpoint
    )
    partial = directory.with_name(f"{directory.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        precision = model.precision or settings.precision
        shutil.copytree(cached_form(location.directory, settings.graph_directory, precision), partial)
        form = read_served_form(partial)
        if model.path is None:
            check_published(model.name, form.dimension, form.max_tokens, location.source)
        partial.rename(directory)
    except ServedFormError as error:
        raise ModelUnavailableError(f"model {model.name} cannot be exported: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return form
