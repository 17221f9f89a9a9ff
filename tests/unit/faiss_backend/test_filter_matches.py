"""Matches are remembered between two writes, and never beyond one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from vecgate_backends.answers import WriteResult
from vecgate_backends.contract import ByIds, MetadataChanges, SearchOptions
from vecgate_backends.faiss import FaissBackend, filter_matches
from vecgate_backends.faiss.changes import RecordsRemoved
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.faiss.filter_matches import FilterMatches
from vecgate_backends.faiss.metadata_index import MetadataIndex
from vecgate_backends.faiss.partition import Partition
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


def partition_of(count: int, namespace: str = "") -> tuple[Partition, CountingIndex]:
    metadata = CountingIndex()
    metadata.add(list(range(count)), [{"n": number} for number in range(count)])
    return Partition(namespace, 4, metadata=metadata), metadata


def of(matches: FilterMatches, node: Filter, partition: Partition) -> list[int]:
    return [int(found) for found in matches.of(node, repr(node), partition)]


def test_a_filter_is_resolved_once_until_a_commit_is_applied() -> None:
    matches, (partition, metadata) = FilterMatches(), partition_of(10)
    few = Compare("n", Order.LT, 3)
    assert of(matches, few, partition) == of(matches, few, partition) == [0, 1, 2]
    assert metadata.asked == 1
    partition.apply([RecordsRemoved("", [1], [{"n": 1}])], None)
    assert of(matches, few, partition) == [0, 2]


def test_one_and_true_are_different_filters() -> None:
    matches, (partition, metadata) = FilterMatches(), partition_of(0)
    metadata.add([7, 8], [{"a": 1}, {"a": True}])
    assert of(matches, Eq("a", 1), partition) == [7]
    assert of(matches, Eq("a", True), partition) == [8]


def test_namespaces_do_not_see_each_other() -> None:
    matches, (one, _), (other, _) = FilterMatches(), partition_of(3, "one"), partition_of(5, "other")
    everything = Compare("n", Order.GTE, 0)
    assert of(matches, everything, one) == [0, 1, 2]
    assert of(matches, everything, other) == [0, 1, 2, 3, 4]
    assert of(matches, everything, one) == [0, 1, 2]


def test_what_was_not_used_for_longest_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = (Compare("n", Order.LT, bound) for bound in (4, 3, 5))
    matches, (partition, metadata) = FilterMatches(), partition_of(20)
    of(matches, first, partition)
    of(matches, third, partition)
    monkeypatch.setattr(filter_matches, "KEPT_BYTES", matches._kept)
    of(matches, first, partition)
    of(matches, second, partition)
    assert metadata.asked == 3
    of(matches, first, partition)
    assert metadata.asked == 3
    of(matches, third, partition)
    assert metadata.asked == 4


def test_memory_is_bounded_whatever_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    matches, (partition, metadata) = FilterMatches(), partition_of(200)
    monkeypatch.setattr(filter_matches, "KEPT_BYTES", 2000)
    everything = Compare("n", Order.LT, 200)
    assert of(matches, everything, partition) == of(matches, everything, partition) == list(range(200))
    long = In("n", tuple(range(400)))
    of(matches, long, partition)
    of(matches, long, partition)
    for bound in range(50):  # hardly anything of their own, and a text each
        of(matches, Compare("n", Order.LT, bound - 50), partition)
        partition.apply([], None)
        of(matches, everything, partition)
    assert metadata.asked == 4 + 100
    assert matches._kept == sum(each.bytes for each in matches._found.values()) <= 2000


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
