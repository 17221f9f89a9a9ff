"""Reading: get and its order, count, listing in pages while writes go on, what comes back exactly as written."""

from __future__ import annotations

import numpy as np
import pytest

from vecgate_backends.conformance.material import (
    ALL_FIELDS,
    DIMENSION,
    EXTREME_VALUES,
    batch_of,
    count_all,
    found_ids,
    list_all,
    listed_ids,
    read,
    store_records,
    typed,
    upsert,
)
from vecgate_backends.conformance.store import Store
from vecgate_backends.contract import ByFilter, ByIds
from vecgate_backends.filters import Compare, Eq, Order
from vecgate_backends.records import IDS_ONLY, Acknowledgement, Fields, Metadata, Record, Timestamp

IDS = [
    *("a", "A", "0", "00", "1", "true", " lead", "trail ", "a b", "a.b", "a/b", "../x", "a\\b", "%", "_", "*"),
    *(
        'quo"te',
        "it's",
        "'; DROP TABLE records; --",
        "é",
        "e\u0301",
        "日本語",
        "🐈",
        "\U0010ffff",
        "é" * 256,
        "x" * 512,
    ),
]
TIMES = (Timestamp(0), Timestamp(-62_135_596_800), Timestamp(253_402_300_799, 999_999_999), Timestamp(-1, 1))


@pytest.mark.asyncio
class TestGet:
    """Reading by id."""

    async def test_records_come_in_the_order_asked_and_none_for_the_missing(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, ["a", "b", "c"])
        records = await collection.get("", ["c", "absent", "a", "c"], IDS_ONLY)
        assert [record and record.id for record in records] == ["c", None, "a", "c"]
        assert list(await collection.get("", [], IDS_ONLY)) == []

    async def test_nothing_but_the_fields_asked_for_comes(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, ["a"], texts=["words"], metadata=[{"n": 1, "m": 2}])
        (bare,) = await collection.get("", ["a"], IDS_ONLY)
        assert bare == Record("a")
        (chosen,) = await collection.get("", ["a"], Fields(text=False, metadata=frozenset({"m", "absent"})))
        assert chosen == Record("a", metadata={"m": 2})
        (text,) = await collection.get("", ["a"], Fields(metadata=False))
        assert text == Record("a", text="words")

    async def test_vectors_come_back_bit_for_bit(self, store: Store) -> None:
        collection = await store.create()
        vectors = np.array(
            [[1e-45, -0.0, 3.4e38, 1.0, 0.1, -2.5], [3.0, 4.0, 0.0, 0.0, 0.0, 0.0], [1e-20] * DIMENSION], np.float32
        )
        await store_records(collection, ["a", "b", "c"], vectors=vectors)
        await store.settle()
        for record, vector in zip(await collection.get("", ["a", "b", "c"], ALL_FIELDS), vectors, strict=True):
            assert record is not None
            assert record.vector is not None
            assert record.vector.dtype == np.float32
            assert record.vector.tobytes() == vector.tobytes()

    async def test_metadata_keeps_its_types(self, store: Store) -> None:
        collection = await store.create()
        rows: dict[str, Metadata] = {
            f"{number:02}": {"value": value, "other": 1} for number, value in enumerate([*EXTREME_VALUES, *TIMES])
        }
        await store_records(collection, list(rows), metadata=list(rows.values()))
        expected = {record_id: typed(row) for record_id, row in rows.items()}
        got = [await read(collection, record_id) for record_id in rows]
        assert {record.id: typed(record.metadata) for record in got} == expected
        assert {record.id: typed(record.metadata) for record in await list_all(collection)} == expected

    async def test_empty_text_is_not_the_absence_of_text(self, store: Store) -> None:
        collection = await store.create()
        texts = ["", None, "日本語 🐈\n\ttabs", "x" * 100_000]
        await store_records(collection, list("abcd"), texts=texts)
        records = await collection.get("", list("abcd"), ALL_FIELDS)
        assert [record and record.text for record in records] == texts

    async def test_ids_are_literal(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, IDS, texts=IDS)
        assert await listed_ids(collection) == sorted(IDS)
        assert await found_ids(collection) == sorted(IDS)
        records = await collection.get("", IDS, ALL_FIELDS)
        assert [record and (record.id, record.text) for record in records] == [(name, name) for name in IDS]
        for gone, record_id in enumerate(IDS, start=1):
            result = await collection.delete(
                "", ByIds((record_id,)), dry_run=False, acknowledgement=Acknowledgement.SEARCHABLE
            )
            assert result.matched == 1
            assert await count_all(collection) == len(IDS) - gone


@pytest.mark.asyncio
class TestCount:
    """Counting."""

    async def test_a_repeated_id_counts_once_and_a_missing_one_not(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, ["a", "b", "c"], metadata=[{"n": n} for n in range(3)])
        assert await collection.count("", ByIds(("a", "a", "absent", "b"))) == 2
        assert await collection.count("", ByFilter(Compare("n", Order.GT, 0))) == 2
        assert await collection.count("", ByFilter(Eq("n", 9))) == 0
        assert await count_all(collection) == 3
        assert await count_all(collection, namespace="elsewhere") == 0


@pytest.mark.asyncio
class TestList:
    """Listing in pages."""

    @pytest.mark.parametrize("page_size", [1, 3, 49, 50, 51, 1_000])
    async def test_pages_have_no_gap_and_no_repeat(self, store: Store, page_size: int) -> None:
        collection = await store.create()
        ids = [f"{n:02}" for n in range(50)]
        await store_records(collection, ids)
        records = await list_all(collection, page_size=page_size)
        assert sorted(record.id for record in records) == ids
        assert [record.id for record in await list_all(collection, page_size=7)] == [record.id for record in records]

    async def test_the_last_page_says_so(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, ["a", "b"])
        page = await collection.list_records("", None, cursor=None, limit=2, fields=IDS_ONLY)
        assert page.cursor is None
        assert (await collection.list_records("none", None, cursor=None, limit=2, fields=IDS_ONLY)).cursor is None

    async def test_what_exists_throughout_is_listed_once_while_writes_go_on(self, store: Store) -> None:
        collection = await store.create()
        ids = [f"{n:03}" for n in range(100)]
        await store_records(collection, ids)
        listed: list[str] = []
        cursor: str | None = None
        doomed = ids[95::-10]
        for step in range(1_000):
            page = await collection.list_records("", None, cursor=cursor, limit=9, fields=IDS_ONLY)
            listed.extend(record.id for record in page.records)
            cursor = page.cursor
            if cursor is None:
                break
            await upsert(collection, batch_of([f"{step:03}-new", f"new-{step}", ids[step * 10 % 100]]))
            await upsert(collection, batch_of([listed[0], listed[-1]], texts=["replaced"] * 2))
            gone = ByIds(tuple(doomed[step : step + 1]))
            await collection.delete("", gone, dry_run=False, acknowledgement=Acknowledgement.SEARCHABLE)
        assert cursor is None
        assert len(listed) == len(set(listed))
        assert set(ids) - set(doomed) <= set(listed)

    async def test_a_filtered_listing_pages_too(self, store: Store) -> None:
        collection = await store.create()
        numbers: list[Metadata] = [{"n": n} for n in range(40)]
        await store_records(collection, [f"{n:02}" for n in range(40)], metadata=numbers)
        matching = await list_all(collection, Compare("n", Order.GTE, 10), page_size=7)
        assert sorted(record.id for record in matching) == [f"{n:02}" for n in range(10, 40)]

    async def test_listed_records_are_those_got_by_id(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, ["a", "b"], texts=["", None], metadata=[{"n": 1.0}, {}])
        for record in await list_all(collection):
            twin = await read(collection, record.id)
            assert (record.text, typed(record.metadata)) == (twin.text, typed(twin.metadata))
            assert record.vector is not None
            assert twin.vector is not None
            assert record.vector.tobytes() == twin.vector.tobytes()
