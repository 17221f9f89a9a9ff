"""Model binding: text meets a collection's vectors only through the model they were made with."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from vecgate_backends.errors import InvalidArgumentError
from vecgate_backends.records import CollectionSpec, ModelBinding
from vecgate_server.encoders.base import CrossEncoder, Encoder, Encoding, ModelDescription, ModelState, ModelStatus
from vecgate_server.encoders.shortened_vectors import shortened
from vecgate_server.errors import (
    CollectionUnboundError,
    DimensionsUnsupportedError,
    ModelKindError,
    ModelMismatchError,
    ModelNotFoundError,
)
from vecgate_server.service.model_rules import (
    bound_encoder,
    bound_model,
    check_vector_fingerprint,
    named_cross_encoder,
    named_encoder,
    of_dimensions,
)

BOUND = CollectionSpec("bound", 3, model=ModelBinding("small", "sha256:aa"))
UNBOUND = CollectionSpec("unbound", 3)


class SmallEncoder:
    def __init__(self, matryoshka_dimensions: tuple[int, ...]) -> None:
        self.description = ModelDescription(
            "small",
            "sha256:aa",
            3,
            8,
            "",
            "",
            normalized=True,
            runtime="none",
            source="test",
            matryoshka_dimensions=matryoshka_dimensions,
        )

    async def encode(self, *_: object, **__: object) -> Encoding:
        raise AssertionError("nothing is encoded here")


class SmallModels:
    """An encoder called small and a cross-encoder called scorer."""

    ready = True

    def __init__(self, *matryoshka_dimensions: int) -> None:
        self.small = SmallEncoder(matryoshka_dimensions)

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def encoder(self, name: str | None) -> Encoder:
        if name == "small":
            return self.small
        if name == "scorer":
            raise ModelKindError("model scorer is a cross-encoder")
        raise ModelNotFoundError(f"no model {name}")

    async def cross_encoder(self, name: str) -> CrossEncoder:
        if name == "small":
            raise ModelKindError("model small is no cross-encoder")
        raise ModelNotFoundError(f"no model {name}")

    def statuses(self) -> Sequence[ModelStatus]:
        return []


async def test_text_meets_a_collection_through_its_own_model_only() -> None:
    assert (await bound_encoder(SmallModels(), BOUND)).description.name == "small"
    retrained = CollectionSpec("bound", 3, model=ModelBinding("small", "sha256:bb"))
    with pytest.raises(ModelMismatchError, match=r"sha256:bb.*sha256:aa"):
        await bound_encoder(SmallModels(), retrained)
    for name in ("large", "scorer"):
        removed = CollectionSpec("bound", 3, model=ModelBinding(name, "sha256:aa"))
        with pytest.raises(ModelMismatchError, match="not configured for"):
            await bound_encoder(SmallModels(), removed)
    with pytest.raises(CollectionUnboundError):
        await bound_encoder(SmallModels(), UNBOUND)


async def test_a_collection_of_shortened_vectors_gets_shortened_vectors() -> None:
    models = SmallModels(1, 2)
    binding = ModelBinding("small", shortened(models.small.description, 2).fingerprint)
    description = (await bound_encoder(models, CollectionSpec("short", 2, model=binding))).description
    assert (description.dimension, description.fingerprint) == (2, binding.fingerprint)
    # The same model whole, or cut elsewhere, is another one.
    for other in (CollectionSpec("short", 3, model=binding), CollectionSpec("short", 1, model=binding)):
        with pytest.raises(ModelMismatchError, match="cannot be compared"):
            await bound_encoder(models, other)
    whole = CollectionSpec("short", 2, model=ModelBinding("small", "sha256:aa"))
    with pytest.raises(ModelMismatchError, match="cannot be compared"):
        await bound_encoder(models, whole)


async def test_a_length_that_the_configuration_no_longer_declares_is_named() -> None:
    models = SmallModels(1, 2)
    spec = CollectionSpec("short", 2, model=ModelBinding("small", shortened(models.small.description, 2).fingerprint))
    with pytest.raises(ModelMismatchError, match=r"cut to 2 components, but .* for 3, which may be cut to 1$"):
        await bound_encoder(SmallModels(1), spec)
    with pytest.raises(ModelMismatchError, match="which may not be cut"):
        await bound_encoder(SmallModels(), spec)


async def test_only_declared_lengths_are_given() -> None:
    models = SmallModels(1, 2)
    encoder = await named_encoder(models, "small", "model")
    assert of_dimensions(encoder, 3, "dimensions") is encoder
    assert of_dimensions(encoder, 1, "dimensions").description.dimension == 1
    with pytest.raises(DimensionsUnsupportedError, match=r"^dimensions: .* cut to 1, 2; asked for were 4$"):
        of_dimensions(encoder, 4, "dimensions")
    with pytest.raises(InvalidArgumentError, match=r"^dimensions: 0 is not a number of components"):
        of_dimensions(encoder, 0, "dimensions")


async def test_a_wrong_name_is_refused_at_its_path() -> None:
    with pytest.raises(ModelNotFoundError, match=r"^model: no model x$"):
        await named_encoder(SmallModels(), "x", "model")
    with pytest.raises(ModelNotFoundError, match=r"^model: no model x$"):
        await named_cross_encoder(SmallModels(), "x", "model")
    with pytest.raises(ModelKindError) as raised:
        await named_encoder(SmallModels(), "scorer", "model")
    assert raised.value.violations[0].field == "model"
    with pytest.raises(ModelKindError) as raised:
        await named_cross_encoder(SmallModels(), "small", "rerank.model")
    assert raised.value.violations[0].field == "rerank.model"


class KnownModels(SmallModels):
    """One model, called small, that was loaded before and must not be again."""

    async def encoder(self, name: str | None) -> Encoder:
        raise AssertionError(f"{name} was loaded")

    def statuses(self) -> Sequence[ModelStatus]:
        never_loaded = ModelStatus("large", is_default=True, state=ModelState.AVAILABLE)
        known = ModelStatus(
            "small", is_default=False, state=ModelState.AVAILABLE, description=SmallModels().small.description
        )
        return [never_loaded, known]


async def test_the_binding_is_checked_without_loading_a_model_that_is_known() -> None:
    assert await bound_model(KnownModels(), BOUND) == SmallModels().small.description
    retrained = CollectionSpec("bound", 3, model=ModelBinding("small", "sha256:bb"))
    with pytest.raises(ModelMismatchError, match=r"sha256:bb.*sha256:aa"):
        await bound_model(KnownModels(), retrained)
    with pytest.raises(AssertionError, match="large was loaded"):
        await bound_model(KnownModels(), CollectionSpec("bound", 3, model=ModelBinding("large", "sha256:aa")))
    for models in (SmallModels(), KnownModels()):
        with pytest.raises(CollectionUnboundError):
            await bound_model(models, UNBOUND)
    assert await bound_model(SmallModels(), BOUND) == SmallModels().small.description


def test_a_fingerprint_of_vectors_must_be_the_collection_s() -> None:
    check_vector_fingerprint(None, UNBOUND, "f")
    check_vector_fingerprint("sha256:aa", BOUND, "f")
    for fingerprint, spec in [("sha256:bb", BOUND), ("sha256:aa", UNBOUND)]:
        with pytest.raises(ModelMismatchError, match=r"^f: "):
            check_vector_fingerprint(fingerprint, spec, "f")
