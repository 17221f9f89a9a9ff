"""Refusals: what is wrong, or beyond the backend, is refused by its own error and changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np
import pytest

from vecgate_backends.conformance.material import (
    DIMENSION,
    batch_of,
    listed_ids,
    random_vectors,
    store_records,
    upsert,
)
from vecgate_backends.conformance.store import Store
from vecgate_backends.contract import ByFilter, Capabilities, Collection, MetadataChanges, SearchOptions
from vecgate_backends.errors import DimensionMismatchError, IndexUnsupportedError, UnsupportedError, VecgateError
from vecgate_backends.filters import Exists
from vecgate_backends.records import (
    Acknowledgement,
    CollectionSpec,
    FlatIndex,
    HnswIndex,
    IndexConfig,
    IvfIndex,
    Metric,
    Quantization,
    RecordBatch,
)

SEARCHABLE = Acknowledgement.SEARCHABLE
INDEXES: list[IndexConfig] = [
    FlatIndex(),
    HnswIndex(),
    HnswIndex(quantization=Quantization.SCALAR8),
    IvfIndex(lists=8, nprobe=2),
]
WRONG_SHAPES = [(1, DIMENSION - 1), (1, DIMENSION + 1), (2, DIMENSION), (0, DIMENSION), (DIMENSION,)]


@dataclass(frozen=True, slots=True)
class Ability:
    """A capability, and a call that needs it."""

    name: str
    claimed: Callable[[Capabilities], bool]
    call: Callable[[Collection, str], Awaitable[object]]


ABILITIES = [
    Ability(
        "exact_search",
        lambda capabilities: capabilities.exact_search,
        lambda collection, _: collection.search("", random_vectors(1), SearchOptions(exact=True)),
    ),
    Ability(
        "consistency_tokens",
        lambda capabilities: capabilities.consistency_tokens,
        lambda collection, token: collection.search("", random_vectors(1), SearchOptions(consistency_token=token)),
    ),
    Ability(
        "filtered_delete",
        lambda capabilities: capabilities.filtered_writes,
        lambda collection, _: collection.delete("", ByFilter(Exists("x")), dry_run=False, acknowledgement=SEARCHABLE),
    ),
    Ability(
        "filtered_update",
        lambda capabilities: capabilities.filtered_writes,
        lambda collection, _: collection.update_metadata(
            "", ByFilter(Exists("x")), MetadataChanges({"y": 1}, frozenset()), acknowledgement=SEARCHABLE
        ),
    ),
    Ability(
        "field_stats",
        lambda capabilities: capabilities.field_stats,
        lambda collection, _: collection.field_stats("", "x", None, limit=10),
    ),
]


async def refusal(call: Awaitable[object]) -> type[VecgateError] | None:
    """Return the class of the error a call ends in, None if it succeeds."""
    try:
        await call
    except VecgateError as error:
        return type(error)
    return None


@pytest.mark.asyncio
class TestRefusals:
    """Nothing is done by halves or in silence."""

    @pytest.mark.parametrize("shape", WRONG_SHAPES, ids=str)
    async def test_vectors_of_a_wrong_shape_are_refused_and_nothing_is_stored(
        self, store: Store, shape: tuple[int, ...]
    ) -> None:
        collection = await store.create()
        batch = RecordBatch(["new"], np.ones(shape, np.float32), [None], [{}])
        with pytest.raises(DimensionMismatchError):
            await upsert(collection, batch)
        assert await listed_ids(collection) == []
        assert (await collection.size()).records == 0

    @pytest.mark.parametrize("dimension", [1, DIMENSION - 1, DIMENSION + 1])
    async def test_a_query_of_a_wrong_dimension_is_refused(self, store: Store, dimension: int) -> None:
        collection = await store.create()
        for stored in (0, 3):
            await store_records(collection, [str(n) for n in range(stored)])
            with pytest.raises(DimensionMismatchError):
                await collection.search("", random_vectors(1, dimension), SearchOptions())

    @pytest.mark.parametrize("index", INDEXES, ids=lambda index: index.kind)
    async def test_exactly_the_claimed_index_kinds_are_built(self, store: Store, index: IndexConfig) -> None:
        spec = CollectionSpec("things", DIMENSION, index=index)
        claimed = index.kind in store.backend.capabilities.index_kinds
        expected = None if claimed else IndexUnsupportedError
        assert await refusal(store.backend.create_collection(spec)) is expected
        assert len(await store.backend.list_collections()) == int(claimed)
        if not claimed:
            store.note_refusal(f"index kind {index.kind}")

    @pytest.mark.parametrize("metric", list(Metric))
    async def test_exactly_the_claimed_metrics_are_taken(self, store: Store, metric: Metric) -> None:
        claimed = metric in store.backend.capabilities.metrics
        expected = None if claimed else UnsupportedError
        assert await refusal(store.create(metric=metric)) is expected
        if not claimed:
            store.note_refusal(f"metric {metric}")

    @pytest.mark.parametrize("ability", ABILITIES, ids=lambda ability: ability.name)
    async def test_exactly_the_claimed_abilities_are_there(self, store: Store, ability: Ability) -> None:
        collection = await store.create()
        token = (await upsert(collection, batch_of(["a"]))).consistency_token
        claimed = ability.claimed(store.backend.capabilities)
        assert await refusal(ability.call(collection, token)) is (None if claimed else UnsupportedError)
        assert await listed_ids(collection) == ["a"]
        if not claimed:
            store.note_refusal(ability.name)
