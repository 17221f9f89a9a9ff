"""Every RPC on the default server: real model, Faiss on disk, raw stubs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from vecgate.v1.collection_pb2 import (
    METRIC_COSINE,
    METRIC_DOT,
    QUANTIZATION_SCALAR8,
    CreateCollectionRequest,
    DeleteCollectionRequest,
    GetCollectionRequest,
    HnswIndex,
    IndexConfig,
    IvfIndex,
    ListCollectionsRequest,
    Unbound,
    UpdateCollectionRequest,
)
from vecgate.v1.encode_pb2 import ROLE_DOCUMENT, ROLE_QUERY, EncodeRequest
from vecgate.v1.filter_pb2 import Condition, Filter, IdList, Selector
from vecgate.v1.metadata_pb2 import StringList, Value
from vecgate.v1.model_pb2 import MODEL_STATE_AVAILABLE, MODEL_STATE_READY, ListModelsRequest
from vecgate.v1.outcome_pb2 import TRUNCATION_POLICY_TRUNCATE
from vecgate.v1.read_pb2 import CountRequest, FieldStatsRequest, GetRequest, ListRequest
from vecgate.v1.record_pb2 import MetadataFields, Record, ReturnFields
from vecgate.v1.search_pb2 import (
    MATCH_LAYOUT_COLUMNS,
    BatchQuery,
    Query,
    SearchBatchRequest,
    SearchOptions,
    SearchRequest,
)
from vecgate.v1.server_info_pb2 import GetServerInfoRequest
from vecgate.v1.vector_pb2 import VECTOR_ENCODING_FLOATS, Vector
from vecgate.v1.write_pb2 import (
    WRITE_MODE_INSERT,
    WRITE_MODE_UPDATE,
    DeleteRequest,
    UpdateMetadataRequest,
    UpsertRequest,
)

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub

pytestmark = pytest.mark.model

SEARCH_DOCUMENT = Path(__file__).parents[2] / "docs" / "search.md"
MODEL = "all-MiniLM-L6-v2"
ALL = Selector(all=True)
WHEN = Timestamp(seconds=1_700_000_000, nanos=123_456_789)
METADATA = {
    "kind": Value(string_value="animal"),
    "rank": Value(int_value=2**53 + 1),
    "share": Value(double_value=1.0),
    "kept": Value(bool_value=True),
    "seen": Value(timestamp_value=WHEN),
    "tags": Value(string_list_value=StringList(values=["b", "a", "b"])),
}
RECORDS = [
    Record(id="cat", text="The cat sat on the mat.", metadata=METADATA),
    Record(id="feline", text="A feline rested on the rug.", metadata={"kind": Value(string_value="animal")}),
    Record(id="bond", text="Interest rates rose again last quarter.", metadata={"rank": Value(int_value=1)}),
]


@pytest.fixture
async def animals(model_stub: VectorSearchServiceAsyncStub, collection: str) -> str:
    await model_stub.CreateCollection(CreateCollectionRequest(name=collection))
    response = await model_stub.Upsert(UpsertRequest(collection=collection, records=RECORDS))
    assert response.stored_count == 3
    return collection


def ids(answer: Any) -> list[str]:
    return [match.id for match in answer.result.matches]


async def test_text_goes_in_and_ranked_meaning_comes_out(
    model_stub: VectorSearchServiceAsyncStub, animals: str
) -> None:
    query = Query(text="Where did the kitten lie down?")
    answer = await model_stub.Search(SearchRequest(collection=animals, query=query))
    assert set(ids(answer)[:2]) == {"cat", "feline"}
    assert ids(answer)[2] == "bond"
    assert answer.model.name == MODEL
    assert not answer.result.encoded.truncated
    timings = answer.timings
    assert timings.total_ns >= timings.backend_ns + timings.encode_ns > 0


async def test_a_match_carries_text_and_typed_metadata(model_stub: VectorSearchServiceAsyncStub, animals: str) -> None:
    options = SearchOptions(top_k=1)
    query = Query(text="The cat sat on the mat.")
    answer = await model_stub.Search(SearchRequest(collection=animals, query=query, options=options))
    (match,) = answer.result.matches
    assert match.score == pytest.approx(1.0, abs=1e-5)
    assert match.text == RECORDS[0].text
    assert dict(match.metadata) == METADATA
    assert not match.HasField("vector")


async def test_a_search_by_id_leaves_the_record_itself_out(
    model_stub: VectorSearchServiceAsyncStub, animals: str
) -> None:
    request = SearchRequest(collection=animals, query=Query(id="cat"), options=SearchOptions(top_k=2))
    assert ids(await model_stub.Search(request)) == ["feline", "bond"]


async def test_filters_thresholds_and_columns_hold(model_stub: VectorSearchServiceAsyncStub, animals: str) -> None:
    options = SearchOptions(
        filter=Filter(expression='kind = "animal" AND NOT exists(rank)'), layout=MATCH_LAYOUT_COLUMNS
    )
    request = SearchRequest(collection=animals, query=Query(text="a cat"), options=options)
    columns = (await model_stub.Search(request)).result.columns
    assert list(columns.ids) == ["feline"]
    (score,) = np.frombuffer(columns.packed_scores, "<f4").tolist()
    request.options.score_threshold = score
    assert list((await model_stub.Search(request)).result.columns.ids) == ["feline"]
    request.options.score_threshold = score + 0.01
    assert not (await model_stub.Search(request)).result.columns.ids


async def test_only_the_fields_asked_for_come_back(model_stub: VectorSearchServiceAsyncStub, animals: str) -> None:
    names = MetadataFields(names={"names": ["kind", "unknown"]})
    fields = ReturnFields(metadata=names, vector=True, vector_encoding=VECTOR_ENCODING_FLOATS)
    options = SearchOptions(top_k=1, fields=fields, explain=True)
    answer = await model_stub.Search(SearchRequest(collection=animals, query=Query(text="cat"), options=options))
    (match,) = answer.result.matches
    assert (match.HasField("text"), set(match.metadata), len(match.vector.floats.values)) == (False, {"kind"}, 384)
    assert answer.result.explanation.plan
    bare = SearchOptions(top_k=1, fields=ReturnFields())
    answer = await model_stub.Search(SearchRequest(collection=animals, query=Query(text="cat"), options=bare))
    (match,) = answer.result.matches
    assert (match.HasField("text"), set(match.metadata), match.HasField("vector")) == (False, set(), False)


async def test_every_number_of_an_explanation_is_documented(
    model_stub: VectorSearchServiceAsyncStub, animals: str
) -> None:
    documented = set(re.findall(r"^\| `(\w+)` \|", SEARCH_DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE))
    options = SearchOptions(explain=True)
    answer = await model_stub.Search(SearchRequest(collection=animals, query=Query(id="cat"), options=options))
    assert answer.result.explanation.details.keys() <= documented


async def test_a_batch_answers_each_query_and_a_bad_one_fails_alone(
    model_stub: VectorSearchServiceAsyncStub, animals: str
) -> None:
    animal = Filter(condition=Condition(field="kind", eq=Value(string_value="animal")))
    encoded = await model_stub.Encode(EncodeRequest(texts=["money"], role=ROLE_QUERY))
    queries = [
        BatchQuery(query=Query(text="cat")),
        BatchQuery(query=Query(vector=encoded.embeddings[0].vector)),
        BatchQuery(query=Query(vector=encoded.embeddings[0].vector), filter=animal),
        BatchQuery(query=Query(id="cat")),
        BatchQuery(query=Query(id="nobody")),
        BatchQuery(query=Query(vector=Vector(packed=b"1234"))),
        BatchQuery(),
        BatchQuery(query=Query(text="cat"), filter=Filter()),
    ]
    options = SearchOptions(top_k=1)
    request = SearchBatchRequest(collection=animals, queries=queries, options=options)
    answer = await model_stub.SearchBatch(request)
    found = [[match.id for match in outcome.result.matches] for outcome in answer.outcomes]
    assert found[:2] == [["cat"], ["bond"]]
    assert found[2] in (["cat"], ["feline"])
    assert found[3] == ["feline"]
    errors = [outcome.error for outcome in answer.outcomes[4:]]
    assert [error.reason for error in errors] == [
        "RECORD_NOT_FOUND",
        "DIMENSION_MISMATCH",
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
    ]
    assert [violation.field for error in errors for violation in error.field_violations] == [
        "queries[5].query.vector",
        "queries[6].query",
        "queries[7].filter",
    ]
    assert answer.outcomes[0].result.encoded.tokens == 3


async def test_batch_filters_that_python_calls_equal_are_kept_apart(
    model_stub: VectorSearchServiceAsyncStub, animals: str
) -> None:
    ones = [Value(int_value=1), Value(bool_value=True)]
    filters = [Filter(condition=Condition(field="rank", eq=one)) for one in ones]
    queries = [BatchQuery(query=Query(text="cat"), filter=each) for each in filters]
    answer = await model_stub.SearchBatch(SearchBatchRequest(collection=animals, queries=queries))
    assert [len(outcome.result.matches) for outcome in answer.outcomes] == [1, 0]


async def test_encode_tells_what_was_cut_and_equals_what_is_stored(
    model_stub: VectorSearchServiceAsyncStub, animals: str
) -> None:
    texts = ["", "The cat sat on the mat.", "word " * 600]
    encoded = await model_stub.Encode(EncodeRequest(texts=texts, role=ROLE_DOCUMENT))
    assert [(each.encoded.tokens, each.encoded.truncated) for each in encoded.embeddings] == [
        (2, False),
        (9, False),
        (256, True),
    ]
    fields = ReturnFields(vector=True)
    selector = Selector(ids=IdList(ids=["cat"]))
    stored = await model_stub.Get(GetRequest(collection=animals, selector=selector, fields=fields))
    one, other = (
        np.frombuffer(vector.packed, "<f4") for vector in (encoded.embeddings[1].vector, stored.records[0].vector)
    )
    assert one @ other == pytest.approx(1.0, abs=1e-6)


async def test_get_keeps_the_order_of_ids_and_names_the_missing(
    model_stub: VectorSearchServiceAsyncStub, animals: str
) -> None:
    selector = Selector(ids=IdList(ids=["feline", "nobody", "cat", "feline"]))
    answer = await model_stub.Get(GetRequest(collection=animals, selector=selector))
    assert [record.id for record in answer.records] == ["feline", "cat"]
    assert list(answer.missing_ids) == ["nobody"]
    assert answer.records[1] == RECORDS[0]
    some = await model_stub.Get(GetRequest(collection=animals, selector=ALL, limit=2))
    assert (len(some.records), some.has_more) == (2, True)


async def test_list_pages_through_everything_and_binds_its_tokens(
    model_stub: VectorSearchServiceAsyncStub, animals: str, refusal: Any
) -> None:
    first = await model_stub.List(ListRequest(collection=animals, page_size=2))
    second = await model_stub.List(ListRequest(collection=animals, page_token=first.next_page_token))
    assert {record.id for record in [*first.records, *second.records]} == {"cat", "feline", "bond"}
    assert (len(first.records), len(second.records), second.next_page_token) == (2, 1, "")
    foreign = ListRequest(collection=animals, namespace="other", page_token=first.next_page_token)
    refused = await refusal(model_stub.List(foreign))
    assert (refused.reason, refused.fields) == ("TOKEN_INVALID", ["page_token"])


async def test_counting_and_statistics_agree(model_stub: VectorSearchServiceAsyncStub, animals: str) -> None:
    ranked = Selector(filter=Filter(expression="exists(rank)"))
    assert (await model_stub.Count(CountRequest(collection=animals, selector=ranked))).count == 2
    assert (await model_stub.Count(CountRequest(collection=animals))).count == 3
    stats = await model_stub.FieldStats(FieldStatsRequest(collection=animals, field="rank"))
    assert (stats.distinct_count, stats.present_count, stats.missing_count) == (2, 2, 1)
    assert (stats.min_number.int_value, stats.max_number.int_value) == (1, 2**53 + 1)
    seen = await model_stub.FieldStats(FieldStatsRequest(collection=animals, field="seen"))
    assert seen.max_timestamp.timestamp_value == WHEN
    assert not seen.HasField("min_number")


async def test_metadata_changes_and_deletions_are_seen_by_the_next_read(
    model_stub: VectorSearchServiceAsyncStub, animals: str
) -> None:
    changes = UpdateMetadataRequest(
        collection=animals,
        selector=Selector(filter=Filter(expression='kind = "animal"')),
        set={"kind": Value(string_value="pet")},
        remove=["tags"],
    )
    changed = await model_stub.UpdateMetadata(changes)
    assert (changed.matched_count, changed.searchable) == (2, True)
    selector = Selector(filter=Filter(expression='kind = "pet"'))
    request = CountRequest(collection=animals, selector=selector, consistency_token=changed.consistency_token)
    assert (await model_stub.Count(request)).count == 2
    tagged = Selector(filter=Filter(expression="exists(tags)"))
    assert (await model_stub.Count(CountRequest(collection=animals, selector=tagged))).count == 0

    dry = await model_stub.Delete(DeleteRequest(collection=animals, selector=selector, dry_run=True))
    assert (dry.deleted_count, dry.consistency_token) == (2, "")
    assert (await model_stub.Delete(DeleteRequest(collection=animals, selector=selector))).deleted_count == 2
    answer = await model_stub.Search(SearchRequest(collection=animals, query=Query(text="cat")))
    assert ids(answer) == ["bond"]


async def test_write_modes_fail_records_alone(model_stub: VectorSearchServiceAsyncStub, animals: str) -> None:
    records = [Record(id="cat", text="Another cat."), Record(id="dog", text="A dog barked.")]
    inserted = await model_stub.Upsert(UpsertRequest(collection=animals, records=records, mode=WRITE_MODE_INSERT))
    assert [outcome.error.reason for outcome in inserted.outcomes] == ["RECORD_EXISTS", ""]
    records = [Record(id="cat", text="Another cat."), Record(id="bird", text="A bird sang.")]
    updated = await model_stub.Upsert(UpsertRequest(collection=animals, records=records, mode=WRITE_MODE_UPDATE))
    assert [outcome.error.reason for outcome in updated.outcomes] == ["", "RECORD_NOT_FOUND"]
    stored = await model_stub.Get(GetRequest(collection=animals, selector=Selector(ids=IdList(ids=["cat"]))))
    assert (stored.records[0].text, dict(stored.records[0].metadata)) == ("Another cat.", {})


async def test_a_vector_given_beside_a_text_is_kept_and_the_text_not_encoded(
    model_stub: VectorSearchServiceAsyncStub, animals: str, refusal: Any
) -> None:
    vector = Vector(packed=np.ones(384, "<f4").tobytes())
    records = [Record(id="own", text="anything " * 600, vector=vector)]
    upsert = UpsertRequest(collection=animals, records=records, vector_fingerprint="sha256:of-another-model")
    refused = await refusal(model_stub.Upsert(upsert))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_MISMATCH")
    upsert.ClearField("vector_fingerprint")
    stored = await model_stub.Upsert(upsert)
    assert (stored.stored_count, stored.outcomes[0].HasField("encoded"), stored.HasField("model")) == (1, False, False)
    selector = Selector(ids=IdList(ids=["own"]))
    answer = await model_stub.Get(GetRequest(collection=animals, selector=selector, fields=ReturnFields(vector=True)))
    assert answer.records[0].vector == vector


async def test_truncation_is_reported_when_it_is_asked_for(
    model_stub: VectorSearchServiceAsyncStub, animals: str
) -> None:
    records = [Record(id="long", text="word " * 600), Record(id="empty", text="")]
    request = UpsertRequest(collection=animals, records=records, truncation=TRUNCATION_POLICY_TRUNCATE)
    response = await model_stub.Upsert(request)
    assert response.stored_count == 2
    assert [outcome.encoded.truncated for outcome in response.outcomes] == [True, False]
    assert response.model.name == MODEL


async def test_namespaces_keep_records_apart(model_stub: VectorSearchServiceAsyncStub, animals: str) -> None:
    record = Record(id="cat", text="A cat of another house.")
    await model_stub.Upsert(UpsertRequest(collection=animals, namespace="house 2", records=[record]))
    answer = await model_stub.Search(SearchRequest(collection=animals, namespace="house 2", query=Query(text="a dog")))
    assert ids(answer) == ["cat"]
    described = await model_stub.GetCollection(GetCollectionRequest(name=animals))
    assert [(each.name, each.record_count) for each in described.namespaces] == [("", 3), ("house 2", 1)]
    assert (described.record_count, described.namespace_count) == (4, 2)


@pytest.mark.parametrize(
    "index",
    [
        IndexConfig(hnsw=HnswIndex(m=8, ef_construction=50, ef=70, quantization=QUANTIZATION_SCALAR8)),
        IndexConfig(ivf=IvfIndex()),
        IndexConfig(ivf=IvfIndex(lists=20, nprobe=3)),
    ],
    ids=["quantised graph", "lists", "so many lists"],
)
async def test_an_index_is_described_as_it_was_asked_for(
    model_stub: VectorSearchServiceAsyncStub, collection: str, index: IndexConfig
) -> None:
    request = CreateCollectionRequest(name=collection, unbound=Unbound(dimension=4), index=index, if_not_exists=True)
    assert (await model_stub.CreateCollection(request)).collection.index == index
    assert not (await model_stub.CreateCollection(request)).created
    described = await model_stub.GetCollection(GetCollectionRequest(name=collection))
    assert described.collection.index == index
    info = await model_stub.GetServerInfo(GetServerInfoRequest())
    (faiss,) = [backend for backend in info.backends if backend.kind == "faiss"]
    assert list(faiss.capabilities.index_kinds) == ["flat", "hnsw", "hnsw-scalar8", "ivf"]


async def test_a_collection_gets_another_index_and_its_records_stay(
    model_stub: VectorSearchServiceAsyncStub, collection: str
) -> None:
    made = await model_stub.CreateCollection(CreateCollectionRequest(name=collection, unbound=Unbound(dimension=2)))
    vectors = np.array([[1, 0], [0, 1]], "<f4")
    records = [Record(id=str(row), vector=Vector(packed=vector.tobytes())) for row, vector in enumerate(vectors)]
    await model_stub.Upsert(UpsertRequest(collection=collection, records=records))
    query = Query(vector=Vector(packed=vectors[0].tobytes()))
    for index in (IndexConfig(hnsw=HnswIndex(ef=90)), IndexConfig(ivf=IvfIndex(lists=9)), IndexConfig()):
        changed = await model_stub.UpdateCollection(UpdateCollectionRequest(name=collection, index=index))
        described = await model_stub.GetCollection(GetCollectionRequest(name=collection))
        assert (changed.collection, described.record_count) == (described.collection, 2)
        assert changed.collection.index.WhichOneof("kind") == index.WhichOneof("kind")
        found = await model_stub.Search(SearchRequest(collection=collection, query=query))
        assert [match.id for match in found.result.matches] == ["0", "1"]
    assert changed.collection == made.collection


async def test_collections_are_made_described_listed_and_removed(
    model_stub: VectorSearchServiceAsyncStub, collection: str, refusal: Any
) -> None:
    request = CreateCollectionRequest(
        name=collection,
        unbound=Unbound(dimension=4),
        metric=METRIC_DOT,
        index=IndexConfig(hnsw=HnswIndex(m=8)),
        if_not_exists=True,
    )
    made = await model_stub.CreateCollection(request)
    assert made.created
    assert (made.collection.metric, made.collection.index.hnsw.m, made.collection.index.hnsw.ef) == (METRIC_DOT, 8, 64)
    again = await model_stub.CreateCollection(request)
    assert (again.created, again.collection) == (False, made.collection)
    request.metric = METRIC_COSINE
    refused = await refusal(model_stub.CreateCollection(request))
    assert (refused.code, refused.reason) == (grpc.StatusCode.ALREADY_EXISTS, "COLLECTION_EXISTS")
    assert "metric" in refused.message

    listed = await model_stub.ListCollections(ListCollectionsRequest())
    assert made.collection in listed.collections
    names = []
    token = ""
    while True:
        page = await model_stub.ListCollections(ListCollectionsRequest(page_size=1, page_token=token))
        names += [each.name for each in page.collections]
        token = page.next_page_token
        if not token:
            break
    assert names == [each.name for each in listed.collections] == sorted(names)

    await model_stub.DeleteCollection(DeleteCollectionRequest(name=collection))
    refused = await refusal(model_stub.GetCollection(GetCollectionRequest(name=collection)))
    assert refused.reason == "COLLECTION_NOT_FOUND"


async def test_a_collection_remembers_its_model(model_stub: VectorSearchServiceAsyncStub, animals: str) -> None:
    described = (await model_stub.GetCollection(GetCollectionRequest(name=animals))).collection
    models = (await model_stub.ListModels(ListModelsRequest())).models
    assert (models[0].name, models[0].is_default, models[0].state) == (MODEL, True, MODEL_STATE_READY)
    assert (models[0].dimension, models[0].max_tokens, models[0].normalized) == (384, 256, True)
    assert described.model.fingerprint == models[0].fingerprint
    assert described.model.fingerprint.startswith("sha256:")
    assert described.dimension == 384
    assert models[1].state == MODEL_STATE_AVAILABLE


async def test_the_server_says_what_runs_a_model_and_why(model_stub: VectorSearchServiceAsyncStub) -> None:
    default = (await model_stub.ListModels(ListModelsRequest())).models[0]
    assert default.runtime == "onnx"
    assert re.search(r"^package .*; ONNX Runtime [\d.]+, fp32, cosine to torch at least 1\.0+$", default.detail)


async def test_the_server_says_what_it_is(model_stub: VectorSearchServiceAsyncStub) -> None:
    info = await model_stub.GetServerInfo(GetServerInfoRequest())
    assert (info.default_model, info.default_backend) == (MODEL, "faiss")
    (faiss,) = info.backends
    assert (faiss.kind, faiss.healthy, faiss.capabilities.durable) == ("faiss", True, True)
    assert info.limits.max_top_k == 10_000


async def test_the_caller_s_request_id_comes_back(model_stub: VectorSearchServiceAsyncStub, refusal: Any) -> None:
    call = model_stub.GetServerInfo(GetServerInfoRequest(), metadata=(("x-request-id", "order-66"),))
    await call
    assert dict(await call.trailing_metadata())["x-request-id"] == "order-66"
    refused = await refusal(model_stub.Count(CountRequest(), metadata=(("x-request-id", "with space"),)))
    assert len(refused.request_id) == 32
