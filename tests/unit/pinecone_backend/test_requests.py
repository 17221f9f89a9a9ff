"""What goes over the wire: sizes, texts of numbers, how much is read for an answer."""

from __future__ import annotations

import ssl
from typing import Any

import numpy as np
import pytest
from emulators.pinecone import Emulator
from emulators.pinecone.data_plane import MOST_BODY_BYTES

from vecgate_backends.conformance.material import batch_of, random_vectors, read, store_records, upsert
from vecgate_backends.contract import ByFilter, Collection, SearchOptions
from vecgate_backends.errors import ExhaustedError, InvalidArgumentError, UnsupportedError
from vecgate_backends.filters import Compare, Eq, Not, Order
from vecgate_backends.pinecone import PineconeBackend
from vecgate_backends.pinecone.connection import certificates
from vecgate_backends.pinecone.identifiers import id_hash, vendor_id
from vecgate_backends.pinecone.record_codec import EncodedRecord
from vecgate_backends.pinecone.upsert_requests import requests_of
from vecgate_backends.records import IDS_ONLY, CollectionSpec, Metadata, Metric

KEY = "pcsk_test_key"


async def created(backend: PineconeBackend, dimension: int = 6, metric: Metric = Metric.COSINE) -> Collection:
    await backend.create_collection(CollectionSpec("things", dimension, metric))
    return await backend.collection("things")


async def test_requests_stay_below_what_pinecone_takes_and_come_near_it(
    emulator: Emulator, backend: PineconeBackend
) -> None:
    collection = await created(backend, 384)
    count = 1_000
    texts = ["x" * (n * 7 % 2_000) for n in range(count)]
    await store_records(collection, [f"{n:04}" for n in range(count)], vectors=random_vectors(count, 384), texts=texts)
    sizes = [request.size for request in emulator.requests_to("/vectors/upsert")][1:]
    assert max(sizes) <= MOST_BODY_BYTES
    assert sorted(sizes)[1] > 0.9 * MOST_BODY_BYTES
    # 384 numbers take 4.7 kB in the shortest text of a float32, and 8 kB in that of a double.
    assert sum(sizes) < count * (384 * 13 + 1_000 + 500)


def test_runs_are_cut_by_bytes_and_by_vectors() -> None:
    records = [EncodedRecord(str(n), [], {}, size) for n, size in enumerate([5, 5, 1, 20, 1, 1, 1, 1])]
    runs = [[record.size for record in run] for run in requests_of(records, most_vectors=3, most_bytes=10)]
    assert runs == [[5, 5], [1], [20], [1, 1, 1], [1]]
    assert list(requests_of([])) == []


@pytest.mark.parametrize("top_k", [10, 300])
async def test_what_is_asked_for_is_read_in_one_query_where_it_fits(
    emulator: Emulator, backend: PineconeBackend, top_k: int
) -> None:
    collection = await created(backend, 384)
    ids = [f"{n:03}" for n in range(400)]
    await store_records(collection, ids, vectors=random_vectors(400, 384), metadata=[{"n": n} for n in range(400)])
    before = len(emulator.seen)
    options = SearchOptions(top_k=top_k, filter=Compare("n", Order.LT, 350))
    (hits,) = await collection.search("", random_vectors(1, 384), options)
    assert len(hits.ids) == top_k
    assert len(emulator.seen) == before + 1


async def test_more_than_an_answer_holds_is_found_first_and_read_in_parts(
    emulator: Emulator, backend: PineconeBackend
) -> None:
    collection = await created(backend)
    ids = [f"{n:03}" for n in range(300)]
    await store_records(collection, ids, texts=["x" * 30_000] * 300)
    for asked in (
        [300, 300, 150, 150, 75, 75, 75, 75],
        [300, 96, 96, 96, 12],  # it has learned how large these records are
    ):
        emulator.seen.clear()
        (hits,) = await collection.search("", random_vectors(1), SearchOptions(top_k=300))
        assert sorted(hits.ids) == ids
        assert sorted((request.body["topK"] for request in emulator.seen), reverse=True) == asked


async def test_a_filter_that_lets_through_too_much_is_widened_until_enough_matches(
    emulator: Emulator, backend: PineconeBackend
) -> None:
    collection = await created(backend, metric=Metric.EUCLIDEAN)
    count = 60
    vectors = np.outer(np.arange(1, count + 1), np.ones(6)).astype(np.float32)
    tags: list[Metadata] = [{"t": ("x", "y") if n < 40 else ("y", "z")} for n in range(count)]
    await store_records(collection, [f"{n:02}" for n in range(count)], vectors=vectors, metadata=tags)
    before = len(emulator.requests_to("/query"))
    options = SearchOptions(top_k=5, filter=Not(Eq("t", "x")), fields=IDS_ONLY)
    (hits,) = await collection.search("", vectors[:1], options)
    assert list(hits.ids) == ["40", "41", "42", "43", "44"]
    assert [request.body["topK"] for request in emulator.requests_to("/query")[before:]] == [5, 20, 80]


async def test_reading_one_by_one_has_a_bound(start_backend: Any) -> None:
    collection = await created(await start_backend(max_scan_records=20))
    await store_records(collection, [f"{n:02}" for n in range(30)], metadata=[{"n": n} for n in range(30)])
    assert await collection.count("", ByFilter(Compare("n", Order.LT, 20))) == 20
    for call in (
        lambda: collection.count("", ByFilter(Compare("n", Order.LT, 21))),
        lambda: collection.search("", random_vectors(1), SearchOptions(exact=True)),
        lambda: collection.field_stats("", "n", None, limit=1),
    ):
        with pytest.raises(ExhaustedError, match="max_scan_records"):
            await call()


async def test_a_long_text_is_packed_and_comes_back(emulator: Emulator, backend: PineconeBackend) -> None:
    collection = await created(backend)
    text = " ".join(f"{n} bottles of beer on the wall." for n in range(3_000))
    await store_records(collection, ["a", "b"], texts=[text, "short"])
    assert (await read(collection, "a")).text == text
    kept = emulator.project(KEY).indexes["things"].data.namespaces["__default__"].log[-1].put
    assert [vector.metadata["text"][0] for vector in kept] == ["~", "="]


@pytest.mark.parametrize("metric", [Metric.DOT, Metric.EUCLIDEAN])
async def test_vectors_beyond_the_arithmetic_of_pinecone_are_refused_and_such_queries_answered(
    backend: PineconeBackend, metric: Metric
) -> None:
    collection = await created(backend, metric=metric)
    vectors = np.concatenate([np.zeros((1, 6)), np.full((1, 6), 1e30), np.ones((1, 6))]).astype(np.float32)
    result = await upsert(collection, batch_of(["zero", "huge", "one"], vectors=vectors))
    assert [type(error) for error in result.errors] == [InvalidArgumentError, InvalidArgumentError, type(None)]
    for hits in await collection.search("", vectors, SearchOptions(fields=IDS_ONLY)):
        assert list(hits.ids) == ["one"]


async def test_scores_are_ours_where_pinecones_are_a_little_off(emulator: Emulator, backend: PineconeBackend) -> None:
    collection = await created(backend)
    vectors = random_vectors(3)
    await store_records(collection, list("abc"), vectors=vectors)
    (hits,) = await collection.search("", vectors[:1], SearchOptions(top_k=1))
    assert (list(hits.ids), hits.scores.tolist()) == (["a"], [1.0])


async def test_dimensions_beyond_pinecones_are_refused(backend: PineconeBackend) -> None:
    with pytest.raises(UnsupportedError, match="20,000"):
        await backend.create_collection(CollectionSpec("things", 20_001))


def test_ids_that_pinecone_would_not_take_become_digests_and_no_two_meet() -> None:
    plain = ["a", "A b", "x" * 512, "%_/\\"]
    assert [vendor_id(name) for name in plain] == plain
    strange = ["é", "日本", "x\ty", "x" * 513, vendor_id("é"), "vecgate:"]
    names = [vendor_id(name) for name in strange]
    assert len(set(names)) == len(strange)
    assert all(name.startswith("vecgate:") and len(name) <= 512 and name.isascii() for name in names)
    assert all(0 <= id_hash(name) < 2**53 for name in names)


async def test_certificates_are_read_once_whatever_is_opened(
    start_backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await start_backend()).check()
    read: list[object] = []
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *read_from, **_: read.append(read_from))
    for name in ("one", "two"):
        backend = await start_backend()
        await backend.create_collection(CollectionSpec(name, 6))
    assert read == []
    assert certificates().verify_mode is ssl.CERT_REQUIRED
    assert certificates().check_hostname
