"""Model binding: text meets a collection's vectors only through the model they were made with."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from vecgate_backends.records import CollectionSpec, ModelBinding
from vecgate_server.encoders.base import CrossEncoder, Encoder, Encoding, ModelDescription, ModelState, ModelStatus
from vecgate_server.errors import CollectionUnboundError, ModelMismatchError, ModelNotFoundError
from vecgate_server.service.model_rules import bound_encoder, bound_model, check_vector_fingerprint

BOUND = CollectionSpec("bound", 3, model=ModelBinding("small", "sha256:aa"))
UNBOUND = CollectionSpec("unbound", 3)


class SmallEncoder:
    description = ModelDescription("small", "sha256:aa", 3, 8, "", "", normalized=True, runtime="none", source="test")

    async def encode(self, *_: object, **__: object) -> Encoding:
        raise AssertionError("nothing is encoded here")


class SmallModels:
    """One model, called small."""

    ready = True

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def encoder(self, name: str | None) -> Encoder:
        if name == "small":
            return SmallEncoder()
        raise ModelNotFoundError(f"no model {name}")

    async def cross_encoder(self, name: str) -> CrossEncoder:
        raise ModelNotFoundError(f"no model {name}")

    def statuses(self) -> Sequence[ModelStatus]:
        return []


async def test_text_meets_a_collection_through_its_own_model_only() -> None:
    assert (await bound_encoder(SmallModels(), BOUND)).description.name == "small"
    retrained = CollectionSpec("bound", 3, model=ModelBinding("small", "sha256:bb"))
    with pytest.raises(ModelMismatchError, match=r"sha256:bb.*sha256:aa"):
        await bound_encoder(SmallModels(), retrained)
    removed = CollectionSpec("bound", 3, model=ModelBinding("large", "sha256:aa"))
    with pytest.raises(ModelMismatchError, match="not configured for"):
        await bound_encoder(SmallModels(), removed)
    with pytest.raises(CollectionUnboundError):
        await bound_encoder(SmallModels(), UNBOUND)


class KnownModels(SmallModels):
    """One model, called small, that was loaded before and must not be again."""

    async def encoder(self, name: str | None) -> Encoder:
        raise AssertionError(f"{name} was loaded")

    def statuses(self) -> Sequence[ModelStatus]:
        never_loaded = ModelStatus("large", is_default=True, state=ModelState.AVAILABLE)
        known = ModelStatus("small", is_default=False, state=ModelState.AVAILABLE, description=SmallEncoder.description)
        return [never_loaded, known]


async def test_the_binding_is_checked_without_loading_a_model_that_is_known() -> None:
    assert await bound_model(KnownModels(), BOUND) == SmallEncoder.description
    retrained = CollectionSpec("bound", 3, model=ModelBinding("small", "sha256:bb"))
    with pytest.raises(ModelMismatchError, match=r"sha256:bb.*sha256:aa"):
        await bound_model(KnownModels(), retrained)
    with pytest.raises(AssertionError, match="large was loaded"):
        await bound_model(KnownModels(), CollectionSpec("bound", 3, model=ModelBinding("large", "sha256:aa")))
    for models in (SmallModels(), KnownModels()):
        with pytest.raises(CollectionUnboundError):
            await bound_model(models, UNBOUND)
    assert await bound_model(SmallModels(), BOUND) == SmallEncoder.description


def test_a_fingerprint_of_vectors_must_be_the_collection_s() -> None:
    check_vector_fingerprint(None, UNBOUND, "f")
    check_vector_fingerprint("sha256:aa", BOUND, "f")
    for fingerprint, spec in [("sha256:bb", BOUND), ("sha256:aa", UNBOUND)]:
        with pytest.raises(ModelMismatchError, match=r"^f: "):
            check_vector_fingerprint(fingerprint, spec, "f")
