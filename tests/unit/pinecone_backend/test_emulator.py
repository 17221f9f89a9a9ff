"""The emulator is strict: the SDK itself, without our backend, is refused what Pinecone's documentation says is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from emulators.pinecone import Emulator
from emulators.pinecone.data_plane import Lag
from pinecone import AsyncIndex, AsyncPinecone
from pinecone.errors import ApiError, NotFoundError, PayloadTooLargeError, UnauthorizedError

KEY = "pcsk_test_key"
DEPLOYMENT = {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"}


def schema(**changes: Any) -> dict[str, Any]:
    return {"fields": {"_values": {"type": "dense_vector", "dimension": 3, "metric": "cosine"} | changes}}


@pytest.fixture
async def controller(emulator: Emulator) -> AsyncIterator[AsyncPinecone]:
    async with AsyncPinecone(api_key=KEY, host=emulator.url) as client:
        yield client


@pytest.fixture
async def index(emulator: Emulator, controller: AsyncPinecone) -> AsyncIterator[AsyncIndex]:
    await controller.indexes.create(name="t", schema=schema(), deployment=DEPLOYMENT)
    async with AsyncIndex(host=(await controller.indexes.describe("t")).host or "", api_key=KEY) as client:
        yield client


def vector(**changes: Any) -> dict[str, Any]:
    return {"id": "a", "values": [1.0, 2.0, 3.0]} | changes


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (vector(id=""), "ID"),
        (vector(id="x" * 513), "ID"),
        (vector(values=[1.0]), "dimension"),
        (vector(values=[0.0, 0.0, 0.0]), "non-zero"),
        (vector(values=[float("nan"), 0.0, 1.0]), "numbers"),
        (vector(values=[1e39, 0.0, 1.0]), "finite"),
        (vector(metadata={"$x": 1}), "cannot start"),
        (vector(metadata={"x": "y" * 41_000}), "exceeds the limit"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_vectors_that_pinecone_refuses(index: AsyncIndex, item: dict[str, Any], said: str) -> None:
    with pytest.raises(ApiError, match=said) as caught:
        await index.upsert(vectors=[item])
    assert caught.value.status_code == 400


async def test_batches_that_are_too_many_or_too_large(index: AsyncIndex) -> None:
    with pytest.raises(ApiError, match="1000"):
        await index.upsert(vectors=[vector(id=str(n)) for n in range(1_001)])
    with pytest.raises(PayloadTooLargeError):
        await index.upsert(vectors=[vector(id=str(n), metadata={"x": "y" * 30_000}) for n in range(100)])


@pytest.mark.parametrize(
    "expression",
    [
        {"$not": {"f": 1}},
        {"f": {"$like": "x"}},
        {"f": {"$gt": "x"}},
        {"f": {"$eq": ["x"]}},
        {"f": ["x"]},
        {"f": {"$eq": None}},
        {"f": {"$in": "x"}},
        {"f": {"$in": list(range(10_001))}},
        {"f": {"$exists": 1}},
        {"f": {}},
        {"$and": []},
        {"$or": {"f": 1}},
    ],
    ids=lambda value: str(value)[:40],
)
async def test_filters_that_pinecone_refuses(index: AsyncIndex, expression: dict[str, Any]) -> None:
    for call in (
        index.query(top_k=1, vector=[1.0, 0.0, 0.0], filter=expression),
        index.fetch_by_metadata(filter=expression),
    ):
        with pytest.raises(ApiError) as caught:
            await call
        assert caught.value.status_code == 400


async def test_metadata_comes_back_as_pinecone_keeps_it(index: AsyncIndex) -> None:
    await index.upsert(vectors=[vector(metadata={"n": 2**53 + 1, "none": None, "b": True, "l": ["x"], "s": ""})])
    stored = (await index.fetch(ids=["a"])).vectors["a"]
    assert stored.metadata == {"n": float(2**53), "b": True, "l": ["x"], "s": ""}
    assert isinstance(stored.metadata["n"], float)


async def test_a_negation_skips_records_without_the_field(index: AsyncIndex) -> None:
    rows: list[dict[str, Any]] = [{}, {"f": "x"}, {"f": "y"}, {"f": ["x", "y"]}, {"f": []}, {"f": True}, {"f": 1}]
    await index.upsert(vectors=[vector(id=str(n), metadata=row) for n, row in enumerate(rows)])

    async def found(expression: dict[str, Any]) -> set[str]:
        answer = await index.query(top_k=100, vector=[1.0, 0.0, 0.0], filter=expression)
        return {match.id for match in answer.matches}

    assert await found({"f": {"$ne": "x"}}) == {"2", "3", "5", "6"}
    assert await found({"f": {"$nin": ["x"]}}) == {"2", "3", "5", "6"}
    assert await found({"f": {"$exists": False}}) == {"0"}
    assert await found({"f": 1}) == {"6"}
    assert await found({"f": "y", "$and": [{"f": "x"}]}) == {"3"}


async def test_a_query_beyond_its_bounds(index: AsyncIndex) -> None:
    long = {"x": "y" * 40_000}
    await index.upsert(vectors=[vector(id=f"{n}", metadata=long) for n in range(40)])
    for start in range(40, 120, 40):
        await index.upsert(vectors=[vector(id=f"{n}", metadata=long) for n in range(start, start + 40)])
    with pytest.raises(ApiError, match="exceeds the limit"):
        await index.query(top_k=120, vector=[1.0, 0.0, 0.0], include_metadata=True)
    page = await index.fetch_by_metadata(filter={"x": {"$exists": True}}, limit=1_000)
    assert len(page.vectors) < 120
    assert page.pagination is not None
    with pytest.raises(ApiError, match="too long"):
        await index.fetch(ids=["x" * 500 + str(n) for n in range(20)])


async def test_numbers_of_writes_tell_when_a_query_sees_them(emulator: Emulator, index: AsyncIndex) -> None:
    emulator.project(KEY).lag = Lag(queries=3, fetches=0)
    written = (await index.upsert(vectors=[vector()])).response_info
    assert written is not None
    assert written.lsn_committed is not None
    seen = []
    for _ in range(4):
        answer = await index.query(top_k=1, vector=[1.0, 0.0, 0.0])
        assert answer.response_info is not None
        seen.append((len(answer.matches), answer.response_info.is_reconciled(written.lsn_committed)))
    assert seen == [(0, False), (0, False), (1, True), (1, True)]


async def test_errors_have_the_shapes_of_pinecone(emulator: Emulator, controller: AsyncPinecone) -> None:
    with pytest.raises(NotFoundError) as missing:
        await controller.indexes.describe("absent")
    assert (missing.value.status_code, missing.value.error_code) == (404, "NOT_FOUND")
    async with AsyncPinecone(api_key="wrong", host=emulator.url) as stranger:
        with pytest.raises(UnauthorizedError):
            await stranger.indexes.list().to_list()
    for wrong in (schema(dimension=20_001), schema(metric="hamming")):
        with pytest.raises((ApiError, ValueError)):
            await controller.indexes.create(name="t", schema=wrong, deployment=DEPLOYMENT)


async def test_deleting_where_nothing_ever_was_is_not_found(index: AsyncIndex) -> None:
    with pytest.raises(NotFoundError, match="Namespace not found"):
        await index.delete(ids=["a"], namespace="absent")
