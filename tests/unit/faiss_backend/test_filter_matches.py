"""Matches are remembered between two writes, and never beyond one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from vecgate_backends.answers import WriteResult
from vecgate_backends.contract import ByIds, MetadataChanges, SearchOptions
from vecgate_backends.faiss import FaissBackend, filter_matches
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.faiss.filter_matches import FilterMatches
from vecgate_backends.faiss.metadata_index import MetadataIndex
from vecgate_backends.filters import Compare, Eq, Filter, In, Order
from vecgate_backends.records import IDS_ONLY, Acknowledgement, CollectionSpec, Fields, Metric

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]
SEARCHABLE = Acknowledgement.SEARCHABLE


class CountingIndex(MetadataIndex):
    asked = 0

    def matching(self, node: Filter | None) -> Any:
        self.asked += 1
        return super().matching(node)


def index(count: int) -> CountingIndex:
    made = CountingIndex()
    made.add(list(range(count)), [{"n": number} for number in range(count)])
    return made


def of(matches: FilterMatches, node: Filter, metadata: MetadataIndex) -> list[int]:
    return [int(found) for found in matches.of(node, repr(node), metadata)]


def test_a_filter_is_resolved_once_until_the_partition_changes() -> None:
    matches, metadata = FilterMatches(), index(10)
    few = Compare("n", Order.LT, 3)
    assert of(matches, few, metadata) == of(matches, few, metadata) == [0, 1, 2]
    assert metadata.asked == 1
    metadata.remove([1], [{"n": 1}])
    matches.forget()
    assert of(matches, few, metadata) == [0, 2]


def test_one_and_true_are_different_filters() -> None:
    matches, metadata = FilterMatches(), MetadataIndex()
    metadata.add([7, 8], [{"a": 1}, {"a": True}])
    assert of(matches, Eq("a", 1), metadata) == [7]
    assert of(matches, Eq("a", True), metadata) == [8]


def test_what_was_not_used_for_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filter_matches, "KEPT_FILTERS", 2)
    matches, metadata = FilterMatches(), index(20)
    first, second, third = (Compare("n", Order.LT, bound) for bound in (4, 3, 5))
    for node in (first, second, first, third, first, second):
        of(matches, node, metadata)
    assert metadata.asked == 4


def test_what_takes_much_memory_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    matches, metadata = FilterMatches(), index(200)
    monkeypatch.setattr(filter_matches, "KEPT_BYTES", 1600)
    everything = Compare("n", Order.LT, 200)
    assert of(matches, everything, metadata) == of(matches, everything, metadata) == list(range(200))
    assert metadata.asked == 2
    long = In("n", tuple(range(400)))
    of(matches, long, metadata)
    of(matches, long, metadata)
    assert metadata.asked == 4
    for bound in range(50):  # hardly anything of their own, and a text each
        of(matches, Compare("n", Order.LT, bound - 50), metadata)
    assert matches._kept <= 1600
    assert len(matches._found) <= 3


async def found(collection: FaissCollection, node: Filter) -> set[str]:
    vectors = (await collection.get("", ["a"], Fields(text=False, metadata=False, vector=True)))[0]
    assert vectors is not None
    assert vectors.vector is not None
    (hits,) = await collection.search("", vectors.vector[None], SearchOptions(filter=node, fields=IDS_ONLY))
    return set(hits.ids)


async def test_every_kind_of_write_is_seen_by_a_filter_that_was_asked_before(
    open_backend: OpenBackend, put: Put
) -> None:
    backend = await open_backend()
    await backend.create_collection(CollectionSpec("notes", 4, Metric.EUCLIDEAN))
    collection = await backend.collection("notes")
    node = Eq("tag", "x")
    await put(collection, ["a", "b"], metadata=[{"tag": "x"}, {"tag": "x"}])
    assert await found(collection, node) == {"a", "b"}
    await put(collection, ["c"], metadata=[{"tag": "x"}])
    assert await found(collection, node) == {"a", "b", "c"}
    await put(collection, ["b"], metadata=[{"tag": "y"}])
    assert await found(collection, node) == {"a", "c"}
    changes = MetadataChanges({"tag": "x"}, frozenset())
    await collection.update_metadata("", ByIds(("b",)), changes, acknowledgement=SEARCHABLE)
    assert await found(collection, node) == {"a", "b", "c"}
    await collection.delete("", ByIds(("c",)), dry_run=False, acknowledgement=SEARCHABLE)
    assert await found(collection, node) == {"a", "b"}
