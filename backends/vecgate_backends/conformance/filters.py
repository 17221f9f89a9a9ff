"""Filters: every operator on every type of value, written out by hand, and random trees against the reference."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from vecgate_backends.conformance.case import Case
from vecgate_backends.conformance.material import found_ids, listed_ids, store_records
from vecgate_backends.conformance.store import Store
from vecgate_backends.conformance.strategies import FIELDS, LISTS, SCALARS, filters
from vecgate_backends.contract import ByFilter
from vecgate_backends.filters import And, Compare, Eq, Exists, Filter, In, Not, Or, Order, matches
from vecgate_backends.records import Metadata, MetadataValue, Timestamp

TWO_TO_53 = 2**53
VALUES: dict[str, MetadataValue | None] = {
    "missing": None,
    "text": "games",
    "empty": "",
    "digit": "1",
    "truth": "true",
    "one": 1,
    "one-point-nought": 1.0,
    "two-and-a-half": 2.5,
    "minus": -3,
    "exact": TWO_TO_53,
    "beyond": TWO_TO_53 + 1,
    "true": True,
    "false": False,
    "early": Timestamp(-10, 5),
    "noon": Timestamp(10, 5),
    "later": Timestamp(10, 6),
    "list": ("games", "tools"),
    "no-strings": (),
}
"""Record id → what it holds in the field "f"; None: nothing."""

EVERY = set(VALUES)
ONES = {"one", "one-point-nought"}
MEANINGS: list[tuple[Filter, set[str]]] = [
    (Eq("f", "games"), {"text", "list"}),
    (Eq("f", ""), {"empty"}),
    (Eq("f", "Games"), set()),
    (Eq("f", "1"), {"digit"}),
    (Eq("f", 1), ONES),
    (Eq("f", 1.0), ONES),
    (Eq("f", True), {"true"}),
    (Eq("f", False), {"false"}),
    (Eq("f", 0), set()),
    (Eq("f", "true"), {"truth"}),
    (Eq("f", TWO_TO_53), {"exact"}),
    (Eq("f", TWO_TO_53 + 1), {"beyond"}),
    (Eq("f", float(TWO_TO_53)), {"exact"}),
    (Eq("f", Timestamp(10, 5)), {"noon"}),
    (Eq("f", 10), set()),
    (Eq("g", "games"), set()),
    (In("f", ("games", 1, False)), {"text", "list", *ONES, "false"}),
    (In("f", ("tools",)), {"list"}),
    (In("f", (2.5, Timestamp(10, 6), "absent")), {"two-and-a-half", "later"}),
    (In("g", ("games", 1)), set()),
    (Compare("f", Order.GT, 1), {"two-and-a-half", "exact", "beyond"}),
    (Compare("f", Order.GTE, 1.0), {*ONES, "two-and-a-half", "exact", "beyond"}),
    (Compare("f", Order.LT, 2.5), {*ONES, "minus"}),
    (Compare("f", Order.LTE, 2.5), {*ONES, "minus", "two-and-a-half"}),
    (Compare("f", Order.LT, 0), {"minus"}),
    (Compare("f", Order.GT, TWO_TO_53), {"beyond"}),
    (Compare("f", Order.GT, float(TWO_TO_53)), {"beyond"}),
    (Compare("f", Order.LT, TWO_TO_53 + 1), {*ONES, "minus", "two-and-a-half", "exact"}),
    (Compare("f", Order.GT, Timestamp(10, 5)), {"later"}),
    (Compare("f", Order.GTE, Timestamp(10, 5)), {"noon", "later"}),
    (Compare("f", Order.LT, Timestamp(10, 6)), {"early", "noon"}),
    (Compare("f", Order.LTE, Timestamp(-10, 5)), {"early"}),
    (Compare("g", Order.GT, 0), set()),
    (Exists("f"), EVERY - {"missing"}),
    (Exists("f", present=False), {"missing"}),
    (Exists("g"), set()),
    (Exists("g", present=False), EVERY),
    (Not(Eq("f", "games")), EVERY - {"text", "list"}),
    (Not(Eq("g", "games")), EVERY),
    (Not(In("f", ("games", 1))), EVERY - {"text", "list", *ONES}),
    (Not(Compare("f", Order.GT, 1)), EVERY - {"two-and-a-half", "exact", "beyond"}),
    (Not(Exists("f")), {"missing"}),
    (Not(Not(Eq("f", 1))), ONES),
    (And((Exists("f"), Not(Eq("f", "games")))), EVERY - {"missing", "text", "list"}),
    (And((Eq("f", "games"), Eq("f", "tools"))), {"list"}),
    (And((Eq("f", 1), Eq("f", "1"))), set()),
    (Or((Eq("f", 1), Eq("f", "1"), Eq("f", True))), {*ONES, "digit", "true"}),
    (Or((Eq("g", 1), Not(Exists("f")))), {"missing"}),
    (And((Compare("f", Order.GTE, 1), Compare("f", Order.LT, 3))), {*ONES, "two-and-a-half"}),
    (Not(And((Exists("f"), Not(Eq("f", 1))))), {"missing", *ONES}),
    (And((Or((Eq("f", 1), Eq("f", 2.5))),)), {*ONES, "two-and-a-half"}),
]


async def selected_everywhere(store: Store, node: Filter) -> list[str]:
    """Return the ids that match, having insisted that search (exact and not), list and count agree on them."""
    collection = await store.backend.collection("things")
    ids = await listed_ids(collection, node)
    assert await found_ids(collection, node) == ids
    assert await found_ids(collection, node, exact=True) == ids
    assert await collection.count("", ByFilter(node)) == len(ids)
    return ids


@pytest.mark.asyncio
class TestFilters:
    """What each filter lets through, in search, list and count alike."""

    async def test_every_filter_means_what_the_table_says(self, store: Store) -> None:
        collection = await store.create()
        rows: list[Metadata] = [{} if value is None else {"f": value} for value in VALUES.values()]
        await store_records(collection, list(VALUES), metadata=rows)
        await store.settle()
        answers = [(node, await selected_everywhere(store, node)) for node, _ in MEANINGS]
        assert answers == [(node, sorted(expected)) for node, expected in MEANINGS]

    async def test_a_field_of_nothing_but_empty_lists_exists(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, ["empty", "without"], metadata=[{"f": ()}, {}])
        await store.settle()
        assert await selected_everywhere(store, Exists("f")) == ["empty"]
        assert await selected_everywhere(store, Not(Exists("f"))) == ["without"]

    async def test_field_names_are_literal(self, store: Store) -> None:
        collection = await store.create()
        names = [
            "a.b",
            "a",
            "a b",
            "a[0]",
            "日本語",
            "é",
            "e\u0301",
            "it's",
            "a\\b",
            "id",
            "text",
            "vector",
            "score",
            "A",
            "%",
            "'",
        ]
        rows: list[Metadata] = [{name: "here"} for name in names]
        await store_records(collection, [str(n) for n in range(len(names))], metadata=rows)
        for number, name in enumerate(names):
            assert await selected_everywhere(store, Eq(name, "here")) == [str(number)]
            assert await selected_everywhere(store, Exists(name)) == [str(number)]


class TestRandomFilters:
    """Filters of any shape."""

    def test_random_filters_agree_with_the_reference(self, case: Case, tmp_path: Path) -> None:
        generator = np.random.default_rng(5)
        rows: list[Metadata] = [
            {field: (*SCALARS, *LISTS)[generator.integers(len(SCALARS) + len(LISTS))] for field in FIELDS[:kept]}
            for kept in generator.integers(0, len(FIELDS) + 1, 40)
        ]
        ids = [f"{n:02}" for n in range(len(rows))]
        with asyncio.Runner() as runner:
            store = Store(case, tmp_path)
            runner.run(_open_with(store, ids, rows))

            @settings(max_examples=case.examples * 5, deadline=None)
            @given(filters(depth=5))
            def agrees(node: Filter) -> None:
                expected = [record_id for record_id, row in zip(ids, rows, strict=True) if matches(node, row)]
                assert runner.run(selected_everywhere(store, node)) == expected

            agrees()
            runner.run(store.backend.close())


async def _open_with(store: Store, ids: list[str], rows: list[Metadata]) -> None:
    await store.backend.start()
    await store_records(await store.create(), ids, metadata=rows)
    await store.settle()
