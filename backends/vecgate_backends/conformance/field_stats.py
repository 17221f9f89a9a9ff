"""Statistics of a metadata field."""

from __future__ import annotations

import pytest

from vecgate_backends.conformance.material import store_records
from vecgate_backends.conformance.store import Store
from vecgate_backends.contract import Everything, MetadataChanges
from vecgate_backends.filters import Compare, Order, Scalar, value_key
from vecgate_backends.records import Acknowledgement, Metadata, Timestamp

ROWS: list[Metadata] = [
    {"f": "games", "n": 0},
    {"f": "games", "n": 1},
    {"f": ("games", "tools", "tools"), "n": 2},
    {"f": 1, "n": 3},
    {"f": 1.0, "n": 4},
    {"f": -2.5, "n": 5},
    {"f": True, "n": 6},
    {"f": Timestamp(5, 1), "n": 7},
    {"f": Timestamp(5), "n": 8},
    {"f": (), "n": 9},
    {"n": 10},
    {"f": 2**53 + 1, "n": 11},
    {"f": 2**53, "n": 12},
    {"f": "apps", "n": 13},
]
RANKED: list[tuple[Scalar, int]] = [
    ("games", 3),
    (1, 2),
    (True, 1),
    (-2.5, 1),
    (2**53, 1),
    (2**53 + 1, 1),
    ("apps", 1),
    ("tools", 1),
    (Timestamp(5), 1),
    (Timestamp(5, 1), 1),
]


@pytest.mark.asyncio
class TestFieldStats:
    """What a field holds."""

    async def test_values_are_counted_and_ranked(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, [str(n) for n in range(len(ROWS))], metadata=ROWS)
        stats = await collection.field_stats("", "f", None, limit=100)
        assert [(value_key(value), count) for value, count in stats.values] == [
            (value_key(value), count) for value, count in RANKED
        ]
        assert (stats.distinct, stats.present, stats.missing) == (len(RANKED), 13, 1)
        assert stats.numbers == (-2.5, 2**53 + 1)
        assert stats.timestamps == (Timestamp(5), Timestamp(5, 1))

    async def test_the_limit_cuts_the_values_and_nothing_else(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, [str(n) for n in range(len(ROWS))], metadata=ROWS)
        stats = await collection.field_stats("", "f", None, limit=2)
        assert [count for _, count in stats.values] == [3, 2]
        assert (stats.distinct, stats.present, stats.missing) == (len(RANKED), 13, 1)
        assert stats.numbers == (-2.5, 2**53 + 1)

    async def test_a_filter_bounds_what_is_counted(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, [str(n) for n in range(len(ROWS))], metadata=ROWS)
        stats = await collection.field_stats("", "f", Compare("n", Order.LT, 3), limit=10)
        assert list(stats.values) == [("games", 3), ("tools", 1)]
        assert (stats.distinct, stats.present, stats.missing) == (2, 3, 0)
        assert (stats.numbers, stats.timestamps) == (None, None)

    async def test_a_field_that_no_record_has_is_missing_everywhere(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, ["a", "b"])
        stats = await collection.field_stats("", "f", None, limit=10)
        assert (list(stats.values), stats.distinct, stats.present, stats.missing) == ([], 0, 0, 2)
        nowhere = await collection.field_stats("elsewhere", "f", None, limit=10)
        assert (nowhere.present, nowhere.missing) == (0, 0)

    async def test_changed_metadata_is_counted_as_it_is_now(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, ["a", "b"], metadata=[{"f": "old"}] * 2)
        changes = MetadataChanges({"f": 7}, frozenset())
        await collection.update_metadata("", Everything(), changes, acknowledgement=Acknowledgement.SEARCHABLE)
        await store_records(collection, ["b"], metadata=[{}])
        stats = await collection.field_stats("", "f", None, limit=10)
        assert list(stats.values) == [(7, 1)]
        assert (stats.distinct, stats.present, stats.missing, stats.numbers) == (1, 1, 1, (7, 7))
