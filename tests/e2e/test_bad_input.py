"""Bad input: each case has its status, reason and field path, and stores nothing."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from vecgate.v1.collection_pb2 import (
    QUANTIZATION_SCALAR8,
    CreateCollectionRequest,
    GetCollectionRequest,
    HnswIndex,
    IndexConfig,
    IvfIndex,
    ModelChoice,
    Unbound,
    UpdateCollectionRequest,
)
from vecgate.v1.encode_pb2 import ROLE_DOCUMENT, EncodeRequest
from vecgate.v1.filter_pb2 import Condition, Filter, FilterList, IdList, Selector
from vecgate.v1.metadata_pb2 import StringList, Value, ValueList
from vecgate.v1.model_pb2 import RerankRequest
from vecgate.v1.outcome_pb2 import TRUNCATION_POLICY_ERROR
from vecgate.v1.read_pb2 import CountRequest, FieldStatsRequest, GetRequest, ListRequest
from vecgate.v1.record_pb2 import MetadataFields, Record, ReturnFields
from vecgate.v1.search_pb2 import (
    MATCH_LAYOUT_COLUMNS,
    Diversity,
    Grouping,
    Hybrid,
    Query,
    Rerank,
    SearchOptions,
    SearchParameters,
    SearchRequest,
)
from vecgate.v1.vector_pb2 import FloatList, Vector
from vecgate.v1.write_pb2 import DeleteRequest, UpdateMetadataRequest, UpsertRequest

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub

Refused = Callable[[Awaitable[object]], Awaitable[Any]]

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION

LONG_TEXT = "word " * 600


def packed(*components: float) -> Vector:
    return Vector(packed=np.array(components, "<f4").tobytes())


UNIT = packed(1, 0, 0)


@pytest.fixture
async def three_dimensions(stub: VectorSearchServiceAsyncStub, collection: str) -> str:
    await stub.CreateCollection(CreateCollectionRequest(name=collection, unbound=Unbound(dimension=3)))
    return collection


BAD_RECORDS = {
    "a vector of another dimension": (Record(id="1", vector=packed(1, 2)), "DIMENSION_MISMATCH", ".vector"),
    "floats of another dimension": (
        Record(id="1", vector=Vector(floats=FloatList(values=[1.0]))),
        "DIMENSION_MISMATCH",
        ".vector",
    ),
    "a torn packed vector": (Record(id="1", vector=Vector(packed=b"123")), "DIMENSION_MISMATCH", ".vector.packed"),
    "a vector with no encoding": (Record(id="1", vector=Vector()), "INVALID_ARGUMENT", ".vector"),
    "NaN": (Record(id="1", vector=packed(1, math.nan, 0)), "VECTOR_NOT_FINITE", ".vector"),
    "infinity": (Record(id="1", vector=packed(1, math.inf, 0)), "VECTOR_NOT_FINITE", ".vector"),
    "a zero vector under COSINE": (Record(id="1", vector=packed(0, 0, 0)), "ZERO_VECTOR", ".vector"),
    "an empty id": (Record(vector=UNIT), "INVALID_ARGUMENT", ".id"),
    "a 513-byte id": (Record(id="é" * 256 + "e", vector=UNIT), "INVALID_ARGUMENT", ".id"),
    "a line feed in an id": (Record(id="a\nb", vector=UNIT), "INVALID_ARGUMENT", ".id"),
    "neither text nor vector": (Record(id="1"), "INVALID_ARGUMENT", ""),
    "an unset metadata value": (
        Record(id="1", vector=UNIT, metadata={"year": Value()}),
        "METADATA_VALUE_UNSET",
        '.metadata["year"]',
    ),
    "a metadata value that is not finite": (
        Record(id="1", vector=UNIT, metadata={"share": Value(double_value=math.nan)}),
        "METADATA_VALUE",
        '.metadata["share"]',
    ),
    "a timestamp after the year 9999": (
        Record(id="1", vector=UNIT, metadata={"when": Value(timestamp_value=Timestamp(seconds=253_402_300_800))}),
        "METADATA_VALUE",
        '.metadata["when"]',
    ),
    "a control character in a listed string": (
        Record(id="1", vector=UNIT, metadata={"tags": Value(string_list_value=StringList(values=["a", "b\0"]))}),
        "METADATA_VALUE",
        '.metadata["tags"].values[1]',
    ),
    "a reserved metadata name": (
        Record(id="1", vector=UNIT, metadata={"$x": Value(int_value=1)}),
        "INVALID_ARGUMENT",
        '.metadata["$x"]',
    ),
    "metadata over the limit": (
        Record(id="1", vector=UNIT, metadata={"big": Value(string_value="x" * 70_000)}),
        "LIMIT_EXCEEDED",
        ".metadata",
    ),
}


@pytest.mark.parametrize(("record", "reason", "path"), BAD_RECORDS.values(), ids=BAD_RECORDS)
async def test_a_bad_record_fails_alone_and_is_not_stored(
    stub: VectorSearchServiceAsyncStub, three_dimensions: str, record: Record, reason: str, path: str
) -> None:
    good = Record(id="good", vector=UNIT)
    response = await stub.Upsert(UpsertRequest(collection=three_dimensions, records=[good, record]))
    assert (response.stored_count, response.failed_count) == (1, 1)
    assert not response.outcomes[0].HasField("error")
    error = response.outcomes[1].error
    assert (error.code, error.reason) == (INVALID.value[0], reason)
    assert [violation.field for violation in error.field_violations] == [f"records[1]{path}"]
    assert (await stub.Count(CountRequest(collection=three_dimensions))).count == 1


async def test_one_bad_record_among_a_hundred_stores_ninety_nine(
    stub: VectorSearchServiceAsyncStub, three_dimensions: str
) -> None:
    records = [Record(id=f"{row}", vector=packed(row + 1, 1, 0)) for row in range(100)]
    records[42] = Record(id="42", vector=packed(math.nan, 0, 0))
    response = await stub.Upsert(UpsertRequest(collection=three_dimensions, records=records))
    assert (response.stored_count, response.failed_count) == (99, 1)
    assert [outcome.id for outcome in response.outcomes if outcome.HasField("error")] == ["42"]
    assert (await stub.Count(CountRequest(collection=three_dimensions))).count == 99


def search(**options: Any) -> SearchRequest:
    return SearchRequest(query=Query(vector=UNIT), options=SearchOptions(**options))


def condition(**test: Any) -> Filter:
    return Filter(condition=Condition(field="year", **test))


def nested(depth: int) -> Filter:
    node = condition(exists=True)
    for _ in range(depth - 1):
        node = Filter(negation=node)
    return node


BAD_SEARCHES = {
    "top_k 0": (search(top_k=0), INVALID, "INVALID_ARGUMENT", "options.top_k"),
    "top_k too large": (search(top_k=10_001), INVALID, "LIMIT_EXCEEDED", "options.top_k"),
    "a range on a string": (
        search(filter=condition(gt=Value(string_value="a"))),
        INVALID,
        "FILTER_TYPE",
        "options.filter.condition.gt",
    ),
    "a range on a boolean inside a tree": (
        search(filter=Filter(all_of=FilterList(filters=[condition(lte=Value(bool_value=True))]))),
        INVALID,
        "FILTER_TYPE",
        "options.filter.all_of.filters[0].condition.lte",
    ),
    "a list as an operand": (
        search(filter=condition(eq=Value(string_list_value=StringList(values=["a"])))),
        INVALID,
        "FILTER_TYPE",
        "options.filter.condition.eq",
    ),
    "an unset operand": (
        search(filter=condition(in_list=ValueList(values=[Value(int_value=1), Value()]))),
        INVALID,
        "METADATA_VALUE_UNSET",
        "options.filter.condition.in_list.values[1]",
    ),
    "an empty filter": (search(filter=Filter()), INVALID, "INVALID_ARGUMENT", "options.filter"),
    "a condition with no test": (search(filter=condition()), INVALID, "INVALID_ARGUMENT", "options.filter.condition"),
    "an empty any_of": (
        search(filter=Filter(any_of=FilterList())),
        INVALID,
        "INVALID_ARGUMENT",
        "options.filter.any_of.filters",
    ),
    "an expression that cannot be parsed": (
        search(filter=Filter(expression="year = ")),
        INVALID,
        "FILTER_SYNTAX",
        "options.filter.expression",
    ),
    "an expression with a range on a string": (
        search(filter=Filter(expression='year > "2000"')),
        INVALID,
        "FILTER_TYPE",
        "options.filter.expression",
    ),
    "a filter nested too deep": (search(filter=nested(33)), INVALID, "LIMIT_EXCEEDED", "options.filter"),
    "a filter with too many terms": (
        search(filter=condition(in_list=ValueList(values=[Value(int_value=1)] * 4_097))),
        INVALID,
        "LIMIT_EXCEEDED",
        "options.filter",
    ),
    "a query of another dimension": (
        SearchRequest(query=Query(vector=packed(1))),
        INVALID,
        "DIMENSION_MISMATCH",
        "query.vector",
    ),
    "a zero query": (SearchRequest(query=Query(vector=packed(0, 0, 0))), INVALID, "ZERO_VECTOR", "query.vector"),
    "no query": (SearchRequest(), INVALID, "INVALID_ARGUMENT", "query"),
    "a namespace that is not ASCII": (
        SearchRequest(query=Query(vector=UNIT), namespace="é"),
        INVALID,
        "INVALID_ARGUMENT",
        "namespace",
    ),
    "a threshold that is not finite": (
        search(score_threshold=math.nan),
        INVALID,
        "INVALID_ARGUMENT",
        "options.score_threshold",
    ),
    "ef out of range": (
        search(parameters=SearchParameters(ef=10_001)),
        INVALID,
        "INVALID_ARGUMENT",
        "options.parameters.ef",
    ),
    "fields beside columns": (
        search(layout=MATCH_LAYOUT_COLUMNS, fields=ReturnFields(text=True)),
        INVALID,
        "INVALID_ARGUMENT",
        "options.fields",
    ),
    "an empty choice of metadata": (
        search(fields=ReturnFields(metadata=MetadataFields())),
        INVALID,
        "INVALID_ARGUMENT",
        "options.fields.metadata",
    ),
    "an enum value of a later version": (search(layout=99), INVALID, "INVALID_ARGUMENT", "options.layout"),
    "a foreign consistency token": (search(consistency_token="elsewhere.1"), INVALID, "TOKEN_INVALID", None),
    "an unknown id": (SearchRequest(query=Query(id="nobody")), NOT_FOUND, "RECORD_NOT_FOUND", None),
    "text in an unbound collection": (
        SearchRequest(query=Query(text="hello")),
        PRECONDITION,
        "COLLECTION_UNBOUND",
        None,
    ),
    "a fingerprint in an unbound collection": (
        search(vector_fingerprint="sha256:0"),
        PRECONDITION,
        "MODEL_MISMATCH",
        None,
    ),
    "reranking by no model": (search(rerank=Rerank(query="q")), INVALID, "INVALID_ARGUMENT", "options.rerank.model"),
    "reranking of nothing": (
        search(rerank=Rerank(model="m", query="q", depth=0)),
        INVALID,
        "INVALID_ARGUMENT",
        "options.rerank.depth",
    ),
    "reranking of too much": (
        search(rerank=Rerank(model="m", query="q", depth=10_001)),
        INVALID,
        "LIMIT_EXCEEDED",
        "options.rerank.depth",
    ),
    "reranking by too long a text": (
        search(rerank=Rerank(model="m", query="q" * 1_048_577)),
        INVALID,
        "LIMIT_EXCEEDED",
        "options.rerank.query",
    ),
    "reranking without a text": (search(rerank=Rerank(model="m")), INVALID, "INVALID_ARGUMENT", "options.rerank.query"),
    "reranking by an encoder": (
        search(rerank=Rerank(model="all-MiniLM-L6-v2", query="q")),
        INVALID,
        "MODEL_KIND",
        "options.rerank.model",
    ),
    "reranking by an unknown model": (search(rerank=Rerank(model="m", query="q")), NOT_FOUND, "MODEL_NOT_FOUND", None),
    "hybrid": (search(hybrid=Hybrid()), UNIMPLEMENTED, "NOT_IMPLEMENTED", None),
    "diversity": (search(diversity=Diversity()), UNIMPLEMENTED, "NOT_IMPLEMENTED", None),
    "grouping": (search(grouping=Grouping(field="f")), UNIMPLEMENTED, "NOT_IMPLEMENTED", None),
}


@pytest.mark.parametrize(("request_", "code", "reason", "path"), BAD_SEARCHES.values(), ids=BAD_SEARCHES)
async def test_a_bad_search_is_refused_with_its_reason_and_path(
    stub: VectorSearchServiceAsyncStub,
    three_dimensions: str,
    refusal: Refused,
    request_: SearchRequest,
    code: grpc.StatusCode,
    reason: str,
    path: str | None,
) -> None:
    request = SearchRequest()
    request.CopyFrom(request_)
    request.collection = three_dimensions
    refused = await refusal(stub.Search(request))
    assert (refused.code, refused.reason) == (code, reason)
    assert refused.fields == ([] if path is None else [path])


ALL = Selector(all=True)
ONE = Selector(ids=IdList(ids=["1"]))
YEAR = {"year": Value(int_value=1)}
BAD_REQUESTS = {
    "Upsert of nothing": ("Upsert", UpsertRequest(), "records"),
    "Upsert of too much": ("Upsert", UpsertRequest(records=[Record(id="1", vector=UNIT)] * 1_001), "records"),
    "Upsert in a mode of a later version": (
        "Upsert",
        UpsertRequest(records=[Record(id="1", vector=UNIT)], mode=99),  # type: ignore[arg-type]  # on purpose
        "mode",
    ),
    "Get of nothing": ("Get", GetRequest(), "selector"),
    "Get of no ids": ("Get", GetRequest(selector=Selector(ids=IdList())), "selector.ids.ids"),
    "Get with limit 0": ("Get", GetRequest(selector=ALL, limit=0), "limit"),
    "Get with too large a limit": ("Get", GetRequest(selector=ALL, limit=1_001), "limit"),
    "Delete of all, unsaid": ("Delete", DeleteRequest(selector=Selector(all=False)), "selector.all"),
    "Delete without a selector": ("Delete", DeleteRequest(), "selector"),
    "Delete by an empty filter": ("Delete", DeleteRequest(selector=Selector(filter=Filter())), "selector.filter"),
    "List with a damaged token": ("List", ListRequest(page_token="%%%"), "page_token"),
    "FieldStats of no field": ("FieldStats", FieldStatsRequest(), "field"),
    "UpdateMetadata of nothing": ("UpdateMetadata", UpdateMetadataRequest(selector=ALL), "set"),
    "UpdateMetadata that sets and removes one field": (
        "UpdateMetadata",
        UpdateMetadataRequest(selector=ONE, set=YEAR, remove=["other", "year"]),
        "remove[1]",
    ),
    "UpdateMetadata with an unset value": (
        "UpdateMetadata",
        UpdateMetadataRequest(selector=ONE, set={"year": Value()}),
        'set["year"]',
    ),
}


@pytest.mark.parametrize(("method", "request_", "path"), BAD_REQUESTS.values(), ids=BAD_REQUESTS)
async def test_a_bad_request_is_refused_with_its_path_and_has_no_effect(
    stub: VectorSearchServiceAsyncStub, three_dimensions: str, refusal: Refused, method: str, request_: Any, path: str
) -> None:
    await stub.Upsert(UpsertRequest(collection=three_dimensions, records=[Record(id="kept", vector=UNIT)]))
    request = type(request_)()
    request.CopyFrom(request_)
    request.collection = three_dimensions
    refused = await refusal(getattr(stub, method)(request))
    assert (refused.code, refused.fields) == (INVALID, [path])
    remaining = await stub.Get(GetRequest(collection=three_dimensions, selector=ALL))
    assert [(record.id, dict(record.metadata)) for record in remaining.records] == [("kept", {})]


@pytest.mark.parametrize("name", ["", "Upper", "-a", "a-", "a" * 46, "ä"])
async def test_a_bad_collection_name_is_refused(
    stub: VectorSearchServiceAsyncStub, refusal: Refused, name: str
) -> None:
    refused = await refusal(stub.CreateCollection(CreateCollectionRequest(name=name, unbound=Unbound(dimension=3))))
    assert (refused.code, refused.fields) == (INVALID, ["name"])


UNKNOWN = {
    "collection": ("Search", SearchRequest(collection="nowhere", query=Query(vector=UNIT)), "COLLECTION_NOT_FOUND"),
    "collection to write to": (
        "Upsert",
        UpsertRequest(collection="nowhere", records=[Record(id="1", vector=UNIT)]),
        "COLLECTION_NOT_FOUND",
    ),
    "collection to change": (
        "UpdateCollection",
        UpdateCollectionRequest(name="nowhere", index=IndexConfig()),
        "COLLECTION_NOT_FOUND",
    ),
    "model": ("Encode", EncodeRequest(texts=["x"], role=ROLE_DOCUMENT, model="nobody's"), "MODEL_NOT_FOUND"),
    "model to bind to": (
        "CreateCollection",
        CreateCollectionRequest(name="a", model=ModelChoice(name="nobody's")),
        "MODEL_NOT_FOUND",
    ),
    "backend": (
        "CreateCollection",
        CreateCollectionRequest(name="a", backend="nowhere", unbound=Unbound(dimension=3)),
        "BACKEND_NOT_FOUND",
    ),
}


@pytest.mark.parametrize(("method", "request_", "reason"), UNKNOWN.values(), ids=UNKNOWN)
async def test_what_does_not_exist_is_not_found(
    stub: VectorSearchServiceAsyncStub, refusal: Refused, method: str, request_: Any, reason: str
) -> None:
    refused = await refusal(getattr(stub, method)(request_))
    assert (refused.code, refused.reason) == (NOT_FOUND, reason)


BAD_RERANKS = {
    "no model": (RerankRequest(query="q", texts=["a"]), INVALID, "INVALID_ARGUMENT", ["model"]),
    "an encoder": (
        RerankRequest(model="all-MiniLM-L6-v2", query="q", texts=["a"]),
        INVALID,
        "MODEL_KIND",
        ["model"],
    ),
    "an unknown model": (RerankRequest(model="m", query="q", texts=["a"]), NOT_FOUND, "MODEL_NOT_FOUND", []),
    "no texts": (RerankRequest(model="m", query="q"), INVALID, "INVALID_ARGUMENT", ["texts"]),
    "too many texts": (RerankRequest(model="m", query="q", texts=["a"] * 1_001), INVALID, "LIMIT_EXCEEDED", ["texts"]),
    "too long a query": (
        RerankRequest(model="m", query="q" * 1_048_577, texts=["a"]),
        INVALID,
        "LIMIT_EXCEEDED",
        ["query"],
    ),
    "too long a text": (
        RerankRequest(model="m", query="q", texts=["a", "a" * 1_048_577]),
        INVALID,
        "LIMIT_EXCEEDED",
        ["texts[1]"],
    ),
}


@pytest.mark.parametrize(("request_", "code", "reason", "paths"), BAD_RERANKS.values(), ids=BAD_RERANKS)
async def test_a_bad_rerank_is_refused_with_its_reason_and_path(
    stub: VectorSearchServiceAsyncStub,
    refusal: Refused,
    request_: RerankRequest,
    code: grpc.StatusCode,
    reason: str,
    paths: list[str],
) -> None:
    refused = await refusal(stub.Rerank(request_))
    assert (refused.code, refused.reason, refused.fields) == (code, reason, paths)


BAD_COLLECTIONS = {
    "dimension 0": (CreateCollectionRequest(unbound=Unbound()), INVALID, "INVALID_ARGUMENT"),
    "too large a dimension": (CreateCollectionRequest(unbound=Unbound(dimension=16_385)), INVALID, "LIMIT_EXCEEDED"),
}
BAD_INDEXES = {
    "m out of range": (IndexConfig(hnsw=HnswIndex(m=3)), "INVALID_ARGUMENT", "index.hnsw.m"),
    "an unknown quantization": (
        IndexConfig(hnsw=HnswIndex(quantization=9)),  # type: ignore[arg-type]  # the point
        "INVALID_ARGUMENT",
        "index.hnsw.quantization",
    ),
    "no lists": (IndexConfig(ivf=IvfIndex(lists=0)), "INVALID_ARGUMENT", "index.ivf.lists"),
    "too many lists": (IndexConfig(ivf=IvfIndex(lists=65_537)), "INVALID_ARGUMENT", "index.ivf.lists"),
    "no visits": (IndexConfig(ivf=IvfIndex(nprobe=0)), "INVALID_ARGUMENT", "index.ivf.nprobe"),
    "more visits than lists": (IndexConfig(ivf=IvfIndex(lists=9, nprobe=10)), "INVALID_ARGUMENT", "index.ivf.nprobe"),
    "a graph": (IndexConfig(hnsw=HnswIndex()), "INDEX_UNSUPPORTED", "index.hnsw"),
    "a quantised graph": (
        IndexConfig(hnsw=HnswIndex(quantization=QUANTIZATION_SCALAR8)),
        "INDEX_UNSUPPORTED",
        "index.hnsw.quantization",
    ),
    "inverted lists": (IndexConfig(ivf=IvfIndex()), "INDEX_UNSUPPORTED", "index.ivf"),
}
"""Refused by the memory backend: the index, the reason, the path."""


@pytest.mark.parametrize(("request_", "code", "reason"), BAD_COLLECTIONS.values(), ids=BAD_COLLECTIONS)
async def test_a_collection_that_cannot_be_made_is_refused(
    stub: VectorSearchServiceAsyncStub,
    collection: str,
    refusal: Refused,
    request_: CreateCollectionRequest,
    code: grpc.StatusCode,
    reason: str,
) -> None:
    request = CreateCollectionRequest()
    request.CopyFrom(request_)
    request.name = collection
    refused = await refusal(stub.CreateCollection(request))
    assert (refused.code, refused.reason) == (code, reason)


@pytest.mark.parametrize(("index", "reason", "path"), BAD_INDEXES.values(), ids=BAD_INDEXES)
async def test_an_index_that_cannot_be_made_is_refused_with_its_path(
    stub: VectorSearchServiceAsyncStub, collection: str, refusal: Refused, index: IndexConfig, reason: str, path: str
) -> None:
    request = CreateCollectionRequest(name=collection, unbound=Unbound(dimension=3), index=index)
    refused = await refusal(stub.CreateCollection(request))
    assert (refused.code, refused.reason, refused.fields) == (INVALID, reason, [path])


@pytest.mark.parametrize(("index", "reason", "path"), BAD_INDEXES.values(), ids=BAD_INDEXES)
async def test_an_index_that_cannot_be_made_is_refused_to_an_existing_collection_too(
    stub: VectorSearchServiceAsyncStub, collection: str, refusal: Refused, index: IndexConfig, reason: str, path: str
) -> None:
    await stub.CreateCollection(CreateCollectionRequest(name=collection, unbound=Unbound(dimension=3)))
    before = await stub.GetCollection(GetCollectionRequest(name=collection))
    refused = await refusal(stub.UpdateCollection(UpdateCollectionRequest(name=collection, index=index)))
    assert (refused.code, refused.reason, refused.fields) == (INVALID, reason, [path])
    assert await stub.GetCollection(GetCollectionRequest(name=collection)) == before


BAD_UPDATES = {
    "no name": (UpdateCollectionRequest(index=IndexConfig()), "name"),
    "a bad name": (UpdateCollectionRequest(name="Ä", index=IndexConfig()), "name"),
    "nothing to change": (UpdateCollectionRequest(name="a"), "index"),
}


@pytest.mark.parametrize(("request_", "path"), BAD_UPDATES.values(), ids=BAD_UPDATES)
async def test_a_bad_change_of_a_collection_is_refused_with_its_path(
    stub: VectorSearchServiceAsyncStub, refusal: Refused, request_: UpdateCollectionRequest, path: str
) -> None:
    refused = await refusal(stub.UpdateCollection(request_))
    assert (refused.code, refused.reason, refused.fields) == (INVALID, "INVALID_ARGUMENT", [path])


async def test_a_message_over_the_limit_is_refused_by_size(
    stub: VectorSearchServiceAsyncStub, refusal: Refused
) -> None:
    refused = await refusal(stub.Encode(EncodeRequest(texts=["x" * 67_108_864], role=ROLE_DOCUMENT)))
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE")
    assert "limits.max_message_bytes is 67108864" in refused.message


async def test_a_message_over_twice_the_limit_is_refused_unread(
    stub: VectorSearchServiceAsyncStub, refusal: Refused
) -> None:
    refused = await refusal(stub.Encode(EncodeRequest(texts=["x" * 2 * 67_108_864], role=ROLE_DOCUMENT)))
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "")
    assert "larger than max" in refused.message


async def test_bytes_that_are_no_message_are_refused(memory_server: Any, refusal: Refused) -> None:
    async with grpc.aio.insecure_channel(memory_server.address) as channel:
        search_raw: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/vecgate.v1.VectorSearchService/Search"
        )
        refused = await refusal(search_raw(b"\x0a\x02\xff\xfe"))  # the collection's name in no UTF-8
    assert (refused.code, refused.reason) == (INVALID, "INVALID_ARGUMENT")


@pytest.mark.model
async def test_text_longer_than_the_model_reads_is_refused_unless_truncation_is_asked_for(
    model_stub: VectorSearchServiceAsyncStub, collection: str, refusal: Refused
) -> None:
    await model_stub.CreateCollection(CreateCollectionRequest(name=collection))
    records = [Record(id="short", text="A short text."), Record(id="long", text=LONG_TEXT)]
    response = await model_stub.Upsert(UpsertRequest(collection=collection, records=records))
    assert (response.stored_count, response.failed_count) == (1, 1)
    error = response.outcomes[1].error
    assert (error.code, error.reason) == (INVALID.value[0], "TEXT_TOO_LONG")
    assert [violation.field for violation in error.field_violations] == ["records[1].text"]
    assert (await model_stub.Count(CountRequest(collection=collection))).count == 1

    options = SearchOptions(truncation=TRUNCATION_POLICY_ERROR)
    query = SearchRequest(collection=collection, query=Query(text=LONG_TEXT), options=options)
    assert (await refusal(model_stub.Search(query))).fields == ["query.text"]
    encode = EncodeRequest(texts=["a", LONG_TEXT], role=ROLE_DOCUMENT, truncation=TRUNCATION_POLICY_ERROR)
    refused = await refusal(model_stub.Encode(encode))
    assert (refused.code, refused.reason, refused.fields) == (INVALID, "TEXT_TOO_LONG", ["texts[1]"])


@pytest.mark.model
async def test_encode_demands_a_role_and_dimensions_that_the_model_declares(
    model_stub: VectorSearchServiceAsyncStub, collection: str, refusal: Refused
) -> None:
    assert (await refusal(model_stub.Encode(EncodeRequest(texts=["x"])))).fields == ["role"]
    refused = await refusal(model_stub.Encode(EncodeRequest(texts=["x"], role=ROLE_DOCUMENT, dimensions=128)))
    assert (refused.code, refused.reason) == (UNIMPLEMENTED, "DIMENSIONS_UNSUPPORTED")
    assert refused.message.startswith("dimensions: ")
    choice = ModelChoice(dimensions=128)
    refused = await refusal(model_stub.CreateCollection(CreateCollectionRequest(name=collection, model=choice)))
    assert (refused.code, refused.reason) == (UNIMPLEMENTED, "DIMENSIONS_UNSUPPORTED")
    assert refused.message.startswith("model.dimensions: ")
