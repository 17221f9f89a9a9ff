"""The Python client against a real server: what goes in comes out, on both faces."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
import pytest

from vecgate import (
    IDS_ONLY,
    AlreadyExistsError,
    AsyncClient,
    BatchQuery,
    ById,
    Client,
    DeadlineExceededError,
    FailedPreconditionError,
    Fields,
    FlatIndex,
    HnswIndex,
    InvalidArgumentError,
    NotFoundError,
    Record,
    SearchResult,
    ServerInfo,
    ServingStatus,
    Timestamp,
    field,
)


class ServerProcess(Protocol):
    """A running server."""

    address: str


X, Y, Z = ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0])
MOMENT = Timestamp(1_600_000_000, 123_456_789)


@pytest.fixture
def client(memory_server: ServerProcess) -> Iterator[Client]:
    with Client(memory_server.address) as client:
        client.wait_ready()
        yield client


@pytest.fixture
def docs(client: Client, collection: str) -> str:
    """A collection of three records."""
    client.create_collection(collection, dimension=3)
    records = [
        Record("x", "along x", X, {"year": 2000, "tags": ["a", "b"], "at": MOMENT}),
        Record("y", "along y", Y, {"year": 2010.5, "draft": True}),
        Record("z", None, Z, {"section": "games"}),
    ]
    client.upsert(collection, records).raise_for_failures()
    return collection


def test_a_record_comes_back_with_its_vector_text_and_metadata_types(client: Client, docs: str) -> None:
    (record,) = client.get(docs, ["x"], fields=Fields(vector=True))
    assert (record.id, record.text) == ("x", "along x")
    assert record.metadata == {"year": 2000, "tags": ("a", "b"), "at": MOMENT}
    assert isinstance(record.metadata["year"], int)
    assert record.vector is not None
    assert record.vector.dtype == np.float32
    assert record.vector.tolist() == X


def test_get_tells_what_is_missing_and_what_was_held_back(client: Client, docs: str) -> None:
    by_ids = client.get(docs, ["z", "nope", "x"])
    assert [record.id for record in by_ids] == ["z", "x"]
    assert by_ids.missing_ids == ("nope",)
    limited = client.get(docs, all=True, limit=2)
    assert (len(limited), limited.has_more) == (2, True)
    assert [record.id for record in client.get(docs, filter=field("year") < 2005)] == ["x"]


def test_search_finds_by_vector_by_id_and_with_a_filter(client: Client, docs: str) -> None:
    nearest = client.search(docs, [0.9, 0.1, 0.0], top_k=2)
    assert [match.id for match in nearest] == ["x", "y"]
    assert nearest.matches[0].score == pytest.approx(0.9 / np.hypot(0.9, 0.1), abs=1e-4)
    assert [match.id for match in client.search(docs, ById("x"), filter=field("year").exists())] == ["y"]
    assert [match.id for match in client.search(docs, X, filter='section = "games"')] == ["z"]
    assert [match.id for match in client.search(docs, X, score_threshold=0.5, exact=True)] == ["x"]


def test_search_returns_the_parts_that_were_asked_for(client: Client, docs: str) -> None:
    bare = client.search(docs, X, top_k=1, fields=IDS_ONLY).matches[0]
    assert (bare.id, bare.text, bare.metadata, bare.vector) == ("x", None, {}, None)
    part = client.search(docs, X, top_k=1, fields=Fields(text=False, metadata=["year"], vector=True)).matches[0]
    assert (part.text, part.metadata) == (None, {"year": 2000})
    assert part.vector is not None
    assert part.vector.tolist() == X


def test_search_explains_itself(client: Client, docs: str) -> None:
    explanation = client.search(docs, X, explain=True).explanation
    assert explanation is not None
    assert explanation.plan


def test_a_batch_answers_the_rows_of_a_matrix_and_queries_with_filters_of_their_own(client: Client, docs: str) -> None:
    matrix = np.eye(3, dtype=np.float32)
    assert [result.matches[0].id for result in client.search_batch(docs, matrix).results()] == ["x", "y", "z"]
    mixed = client.search_batch(docs, [BatchQuery(X, field("draft") == True), [1.0], ById("nope")], top_k=1)  # noqa: E712  # builds a filter
    first, second, third = mixed.outcomes
    assert isinstance(first, SearchResult)
    assert [match.id for match in first] == ["y"]
    assert isinstance(second, InvalidArgumentError)
    assert (second.reason, second.violations[0].field) == ("DIMENSION_MISMATCH", "queries[1].query.vector")
    assert isinstance(third, NotFoundError)


def test_ids_and_scores_come_as_columns(client: Client, docs: str) -> None:
    ranked = client.search_ids(docs, np.eye(3), top_k=2)
    assert [row.ids[0] for row in ranked] == ["x", "y", "z"]
    assert all(row.scores.dtype == np.float32 and row.scores.shape == (2,) for row in ranked)
    assert [row.scores[0] for row in ranked] == pytest.approx([1.0, 1.0, 1.0])


def test_write_modes_fail_records_alone(client: Client, docs: str) -> None:
    inserted = client.upsert(docs, [Record("x", vector=Y), Record("new", vector=Y)], mode="insert")
    assert inserted.stored == 1
    assert [(failure.id, type(failure.error)) for failure in inserted.failures] == [("x", AlreadyExistsError)]
    updated = client.upsert(docs, [Record("none", vector=Y), Record("new", vector=Z)], mode="update")
    assert [(failure.index, failure.error.reason) for failure in updated.failures] == [(0, "RECORD_NOT_FOUND")]


def test_many_records_go_out_in_requests_and_come_back_in_pages(client: Client, collection: str) -> None:
    client.create_collection(collection, dimension=2)
    result = client.upsert(collection, (Record(str(n), vector=[1.0, n]) for n in range(600)), batch_size=250)
    assert (result.stored, result.failures, result.searchable) == (600, (), True)
    listed = [record.id for record in client.list(collection, page_size=100, fields=IDS_ONLY)]
    assert sorted(listed, key=int) == [str(number) for number in range(600)]
    assert client.count(collection, consistency_token=result.consistency_token) == 600


def test_records_stream_in_and_queries_stream_through(client: Client, collection: str) -> None:
    client.create_collection(collection, dimension=2)
    angles = np.arange(600) / 100
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    records = (Record(str(place), vector=point) for place, point in enumerate(circle))
    result = client.upsert_many(collection, records, batch_size=100)
    assert (result.stored, result.failed, result.searchable) == (600, 0, True)
    found = client.search_many(collection, circle, top_k=1, exact=True, batch_size=50)
    nearest = [outcome.matches[0].id for outcome in found if isinstance(outcome, SearchResult)]
    assert nearest == [str(place) for place in range(600)]


def test_metadata_is_changed_and_described(client: Client, docs: str) -> None:
    assert client.update_metadata(docs, ids=["z"], set={"year": 1990}, remove=["section"]).count == 1
    assert client.get(docs, ["z"]).records[0].metadata == {"year": 1990}
    stats = client.field_stats(docs, "year")
    assert (stats.distinct, stats.present, stats.missing, stats.numbers) == (3, 3, 0, (1990, 2010.5))
    assert client.field_stats(docs, "at").timestamps == (MOMENT, MOMENT)
    assert client.field_stats(docs, "tags").values == (("a", 1), ("b", 1))


def test_a_datetime_goes_in_and_a_timestamp_comes_out(client: Client, docs: str) -> None:
    moment = datetime(2024, 5, 6, 7, 8, 9, 10, tzinfo=UTC)
    client.upsert(docs, [Record("t", vector=X, metadata={"at": moment})]).raise_for_failures()
    assert client.get(docs, ["t"]).records[0].metadata == {"at": Timestamp.from_datetime(moment)}
    assert client.count(docs, filter=field("at") >= moment) == 1


def test_delete_counts_first_and_takes_ids_a_filter_or_all(client: Client, docs: str) -> None:
    assert client.delete(docs, filter=field("year").exists(), dry_run=True).count == 2
    assert client.count(docs) == 3
    assert client.delete(docs, ids=["x", "nope"]).count == 1
    assert client.delete(docs, filter="year > 2000").count == 1
    assert client.delete(docs, all=True).count == 1
    assert client.count(docs) == 0


def test_nothing_crosses_a_namespace(client: Client, docs: str) -> None:
    client.upsert(docs, [Record("x", vector=Y)], namespace="other").raise_for_failures()
    assert client.count(docs, namespace="other") == 1
    info = client.get_collection(docs)
    assert (info.record_count, info.namespaces, info.namespace_count) == (4, {"": 3, "other": 1}, 2)


def test_a_collection_remembers_its_settings(client: Client, collection: str) -> None:
    made = client.create_collection(collection, dimension=5, metric="euclidean", index=FlatIndex())
    assert (made.name, made.dimension, made.metric, made.model, made.index) == (
        collection,
        5,
        "euclidean",
        None,
        FlatIndex(),
    )
    assert client.get_collection(collection).collection == made
    assert made in client.list_collections().collections
    assert (
        client.create_collection(collection, dimension=5, metric="euclidean", index=FlatIndex(), exist_ok=True) == made
    )
    with pytest.raises(AlreadyExistsError):
        client.create_collection(collection, dimension=6)
    client.delete_collection(collection)
    with pytest.raises(NotFoundError):
        client.get_collection(collection)


def test_a_collection_gets_another_index(client: Client, docs: str) -> None:
    made = client.get_collection(docs).collection
    for index in (FlatIndex(), None):
        changed = client.update_collection(docs, index=index)
        assert changed == replace(made, index=index)
        assert client.get_collection(docs).collection == changed
    with pytest.raises(InvalidArgumentError) as refused:
        client.update_collection(docs, index=HnswIndex())
    assert refused.value.reason == "INDEX_UNSUPPORTED"
    with pytest.raises(NotFoundError):
        client.update_collection("nowhere", index=None)
    with pytest.raises(InvalidArgumentError, match=r"index\.hnsw\.m: -1 is out of range"):
        client.update_collection(docs, index=HnswIndex(m=-1))


def test_an_index_the_backend_does_not_build_is_refused(client: Client, collection: str) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        client.create_collection(collection, dimension=5, index=HnswIndex(m=8))
    assert refused.value.reason == "INDEX_UNSUPPORTED"


def test_a_text_in_a_collection_of_vectors_is_a_failed_precondition(client: Client, docs: str) -> None:
    with pytest.raises(FailedPreconditionError) as refused:
        client.search(docs, "some text")
    assert refused.value.reason == "COLLECTION_UNBOUND"


def test_a_refusal_carries_the_field_and_the_servers_request_id(client: Client, docs: str) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        client.search(docs, X, top_k=0)
    assert refused.value.violations[0].field == "options.top_k"
    assert refused.value.request_id


def test_the_server_tells_what_it_is(client: Client) -> None:
    info = client.server_info()
    assert info.default_backend == "memory"
    assert [backend.capabilities.index_kinds for backend in info.backends] == [("flat",)]
    assert [backend.capabilities.encoding_stamps for backend in info.backends] == [True]
    assert [backend.capabilities.index_updates for backend in info.backends] == [True]
    assert info.limits.max_batch > 0
    assert info.default_model in [model.name for model in client.list_models()]
    assert client.health() is ServingStatus.SERVING
    assert client.health("backend.memory") is ServingStatus.SERVING
    assert client.health("no.such.service") is ServingStatus.UNKNOWN


async def test_a_call_whose_time_is_over_before_its_turn_says_so(memory_server: ServerProcess) -> None:
    async with AsyncClient(memory_server.address) as client:
        calls = (client.server_info(timeout=0.05) for _ in range(3_000))
        told = await asyncio.gather(*calls, return_exceptions=True)
    assert DeadlineExceededError in set(map(type, told)) <= {ServerInfo, DeadlineExceededError}


async def test_the_asynchronous_client_does_the_same(memory_server: ServerProcess, collection: str) -> None:
    async with AsyncClient(memory_server.address) as client:
        await client.wait_ready()
        await client.create_collection(collection, dimension=3)
        result = await client.upsert(collection, [Record("x", vector=X), Record("y", vector=Y)])
        assert result.stored == 2
        assert [match.id for match in await client.search(collection, X)] == ["x", "y"]
        assert sorted([record.id async for record in client.list(collection, page_size=1)]) == ["x", "y"]
        assert (await client.upsert_many(collection, [Record("x", vector=X)])).stored == 1
        outcomes = [outcome async for outcome in client.search_many(collection, [X, Y], top_k=1)]
        assert [outcome.matches[0].id for outcome in outcomes if isinstance(outcome, SearchResult)] == ["x", "y"]
        assert (await client.delete(collection, all=True)).count == 2


@pytest.mark.model
def test_text_goes_in_and_ranked_meaning_comes_out(model_server: ServerProcess, collection: str) -> None:
    with Client(model_server.address) as client:
        client.wait_ready()
        made = client.create_collection(collection)
        texts = {"mat": "The cat sat on the mat.", "rug": "A feline rested on the rug.", "gpu": "GPU prices rose."}
        result = client.upsert(collection, [Record(id_, text) for id_, text in texts.items()])
        assert (result.stored, result.model) == (3, made.model)
        assert result.tokens > 0
        found = client.search(collection, ById("mat"))
        assert [match.id for match in found] == ["rug", "gpu"]
        asked = client.search(collection, "Where is the kitten?", top_k=2)
        assert {match.id for match in asked} == {"mat", "rug"}
        assert asked.encoded is not None
        assert asked.model == made.model


@pytest.mark.model
def test_encoded_texts_are_the_vectors_that_searching_uses(model_server: ServerProcess, collection: str) -> None:
    with Client(model_server.address) as client:
        client.wait_ready()
        made = client.create_collection(collection)
        embeddings = client.encode(["The cat sat on the mat.", "", "word " * 1000], "document", batch_size=2)
        assert embeddings.vectors.shape == (3, made.dimension)
        assert np.linalg.norm(embeddings.vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
        assert embeddings.truncated.tolist() == [False, False, True]
        assert embeddings.model == made.model
        vector = embeddings.vectors[0]
        fingerprint = embeddings.model.fingerprint
        record = Record("mat", "The cat sat on the mat.", vector)
        client.upsert(collection, [record], vector_fingerprint=fingerprint).raise_for_failures()
        assert client.search(collection, vector).matches[0].score == pytest.approx(1, abs=1e-4)
        with pytest.raises(FailedPreconditionError) as refused:
            client.upsert(collection, [record], vector_fingerprint="sha256:other")
        assert refused.value.reason == "MODEL_MISMATCH"


@pytest.mark.model
def test_a_text_too_long_fails_alone_unless_cutting_was_asked_for(model_server: ServerProcess, collection: str) -> None:
    with Client(model_server.address) as client:
        client.wait_ready()
        client.create_collection(collection)
        records = [Record("long", "word " * 1000), Record("short", "word")]
        refused = client.upsert(collection, records)
        assert [(failure.id, failure.error.reason) for failure in refused.failures] == [("long", "TEXT_TOO_LONG")]
        cut = client.upsert(collection, records, truncation="truncate")
        assert (cut.stored, cut.truncated, cut.reused) == (2, ("long",), 1)
        again = client.upsert(collection, records, truncation="truncate")
        assert (again.stored, again.truncated, again.reused) == (2, ("long",), 2)
        assert (again.tokens, again.model, again.timings.encode_ns) == (cut.tokens, cut.model, 0)
