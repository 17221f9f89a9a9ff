"""What may be asked of a model.

Model binding: text meets a collection's vectors only through the very model they were made with.
"""

from __future__ import annotations

from vecgate_backends.errors import InvalidArgumentError
from vecgate_backends.records import CollectionSpec, ModelBinding
from vecgate_server.encoders.base import Encoder, ModelDescription, Models
from vecgate_server.errors import (
    CollectionUnboundError,
    DimensionsUnsupportedError,
    ModelMismatchError,
    ModelNotFoundError,
    TextTooLongError,
)


async def bound_encoder(models: Models, spec: CollectionSpec) -> Encoder:
    """Return the encoder of a collection's model, loading it if need be.

    Raises:
        CollectionUnboundError: the collection takes raw vectors only.
        ModelMismatchError: the model at hand has another fingerprint, or is no longer configured.
        ModelUnavailableError: it cannot be loaded.
    """
    if spec.model is None:
        raise CollectionUnboundError(
            f"collection {spec.name!r} is bound to no model, so it takes vectors only: send a vector instead of text"
        )
    try:
        encoder = await models.encoder(spec.model.name)
    except ModelNotFoundError:
        raise ModelMismatchError(
            f"collection {spec.name!r} is bound to model {spec.model.name!r}, which this server is not configured for"
        ) from None
    _check_binding(encoder.description, spec.model, spec.name)
    return encoder


async def bound_model(models: Models, spec: CollectionSpec) -> ModelDescription:
    """Describe a collection's model; it is loaded only if it never was, so that one that is away may stay away.

    Raises:
        CollectionUnboundError, ModelMismatchError, ModelUnavailableError: as bound_encoder.
    """
    if spec.model is not None:
        for status in models.statuses():
            if status.name == spec.model.name and status.description is not None:
                _check_binding(status.description, spec.model, spec.name)
                return status.description
    return (await bound_encoder(models, spec)).description


def _check_binding(loaded: ModelDescription, bound: ModelBinding, collection: str) -> None:
    if loaded.fingerprint != bound.fingerprint:
        raise ModelMismatchError(
            f"collection {collection!r} is bound to {bound.name!r} with fingerprint {bound.fingerprint}, "
            f"but the model loaded under that name has {loaded.fingerprint}; their vectors cannot be compared"
        )


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


def check_dimensions(asked: int, model: ModelDescription, path: str) -> None:
    """Check that no shorter vectors than the model's own are asked for.

    Raises:
        DimensionsUnsupportedError: they are.
    """
    if asked != model.dimension:
        raise DimensionsUnsupportedError(
            f"{path}: model {model.name!r} makes vectors of {model.dimension} components, and this version does not "
            f"shorten them to {asked}"
        )


def text_too_long(path: str, model: ModelDescription) -> InvalidArgumentError:
    """Build the error for a text that the model does not read to its end."""
    return TextTooLongError.at(
        path, f"has more than the {model.max_tokens} tokens that {model.name!r} reads; shorten it or ask for TRUNCATE"
    )
