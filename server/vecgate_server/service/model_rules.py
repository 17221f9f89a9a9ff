"""What may be asked of a model.

Model binding: text meets a collection's vectors only through the very model they were made with.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vecgate_backends.errors import InvalidArgumentError
from vecgate_backends.records import CollectionSpec, ModelBinding
from vecgate_server.encoders.base import CrossEncoder, Encoder, ModelDescription, Models
from vecgate_server.encoders.shortened_vectors import ShortenedEncoder, shortened
from vecgate_server.errors import (
    CollectionUnboundError,
    DimensionsUnsupportedError,
    ModelKindError,
    ModelMismatchError,
    ModelNotFoundError,
    TextTooLongError,
)


async def named_encoder(models: Models, name: str | None, path: str) -> Encoder:
    """Return the encoder that a request names at a path, loading it if need be; None means the default model.

    Raises:
        ModelNotFoundError, ModelKindError: there is no such encoder.
        ModelUnavailableError: it cannot be loaded.
    """
    with _fault_at(path):
        return await models.encoder(name)


def of_dimensions(encoder: Encoder, dimensions: int, path: str) -> Encoder:
    """Let an encoder give vectors of so many components.

    Raises:
        InvalidArgumentError: that is none.
        DimensionsUnsupportedError: they may not be cut to that.
    """
    if dimensions < 1:
        raise InvalidArgumentError.at(path, f"{dimensions} is not a number of components; leave it out for all of them")
    model = encoder.description
    if dimensions == model.dimension:
        return encoder
    if dimensions not in model.matryoshka_dimensions:
        raise DimensionsUnsupportedError(
            f"{path}: model {model.name!r} makes vectors of {model.dimension} components, {_lengths(model)}; "
            f"asked for were {dimensions}"
        )
    return ShortenedEncoder(encoder, dimensions)


async def named_cross_encoder(models: Models, name: str, path: str) -> CrossEncoder:
    """Return the cross-encoder that a request names, loading it if need be.

    Raises:
        ModelNotFoundError, ModelKindError: there is no such cross-encoder.
        ModelUnavailableError: it cannot be loaded.
    """
    with _fault_at(path):
        return await models.cross_encoder(name)


async def bound_encoder(models: Models, spec: CollectionSpec) -> Encoder:
    """Return the encoder of a collection's model, loading it if need be; it gives vectors of the collection's dimension.

    Raises:
        CollectionUnboundError: the collection takes raw vectors only.
        ModelMismatchError: the model at hand has another fingerprint, its vectors may no longer be cut to the collection's
            dimension, or it is no longer configured.
        ModelUnavailableError: it cannot be loaded.
    """
    if spec.model is None:
        raise CollectionUnboundError(
            f"collection {spec.name!r} is bound to no model, so it takes vectors only: send a vector instead of text"
        )
    try:
        encoder = await models.encoder(spec.model.name)
    except (ModelNotFoundError, ModelKindError):
        raise ModelMismatchError(
            f"collection {spec.name!r} is bound to model {spec.model.name!r}, which this server is not configured for"
        ) from None
    loaded = encoder.description
    bound = bound_description(loaded, spec.model, spec)
    return encoder if bound is loaded else ShortenedEncoder(encoder, bound.dimension)


def bound_description(loaded: ModelDescription, binding: ModelBinding, spec: CollectionSpec) -> ModelDescription:
    """Describe the model of a collection, with vectors of the collection's dimension, from the one loaded under its name.

    Raises:
        ModelMismatchError: the loaded one is another, or its vectors may no longer be cut to that dimension.
    """
    # A collection of whole vectors has the model's own dimension, or else another model's fingerprint.
    model = shortened(loaded, min(spec.dimension, loaded.dimension))
    if model.fingerprint != binding.fingerprint:
        raise ModelMismatchError(
            f"collection {spec.name!r} is bound to {binding.name!r} with fingerprint {binding.fingerprint}, "
            f"but the model loaded under that name has {model.fingerprint}; their vectors cannot be compared"
        )
    if model is not loaded and model.dimension not in loaded.matryoshka_dimensions:
        raise ModelMismatchError(
            f"collection {spec.name!r} holds vectors of {binding.name!r} cut to {spec.dimension} components, but this "
            f"server is configured for {loaded.dimension}, {_lengths(loaded)}"
        )
    return model


async def bound_model(models: Models, spec: CollectionSpec) -> ModelDescription:
    """Describe a collection's model; it is loaded only if it never was, so that one that is away may stay away.

    Raises:
        CollectionUnboundError, ModelMismatchError, ModelUnavailableError: as bound_encoder.
    """
    if spec.model is not None:
        for status in models.statuses():
            if status.name == spec.model.name and status.description is not None:
                return bound_description(status.description, spec.model, spec)
    return (await bound_encoder(models, spec)).description


def check_vector_fingerprint(fingerprint: str | None, spec: CollectionSpec, path: str) -> None:
    """Check what a request says made its vectors; None says nothing.

    Raises:
        ModelMismatchError: it is not what the collection is bound to.
    """
    if fingerprint is None:
        return
    if spec.model is None:
        raise ModelMismatchError(
            f"{path}: collection {spec.name!r} is bound to no model, so no fingerprint can be checked; leave it out"
        )
    if fingerprint != spec.model.fingerprint:
        raise ModelMismatchError(
            f"{path}: the vectors were made by {fingerprint}, but collection {spec.name!r} is bound to "
            f"{spec.model.name!r} with fingerprint {spec.model.fingerprint}"
        )


def text_too_long(path: str, model: ModelDescription, *, beside: str = "") -> InvalidArgumentError:
    """Build the error for a text that the model does not read to its end, alone or beside another."""
    subject = f"has together with {beside}" if beside else "has"
    return TextTooLongError.at(
        path,
        f"{subject} more than the {model.max_tokens} tokens that {model.name!r} reads; shorten it or ask for TRUNCATE",
    )


@contextmanager
def _fault_at(path: str) -> Iterator[None]:
    """Let a refusal of a model's name say where the name stands."""
    try:
        yield
    except ModelNotFoundError as fault:
        raise ModelNotFoundError(f"{path}: {fault.message}") from None
    except ModelKindError as fault:
        raise ModelKindError.at(path, fault.message) from None


def _lengths(model: ModelDescription) -> str:
    """Say to what a model's vectors may be cut."""
    lengths = ", ".join(str(each) for each in model.matryoshka_dimensions)
    return f"which may be cut to {lengths}" if lengths else "which may not be cut"
