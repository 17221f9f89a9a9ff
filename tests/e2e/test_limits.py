"""Every limit of a request holds in every RPC that it concerns, before a model or a backend has work, and the refusal names it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import pytest
from faults.held_worker import HeldWorker, held_models
from google.protobuf.message import Message
from streaming.call import StreamCall
from streaming.serving import MODEL_NOTES, serving

from vecgate.v1 import collection_pb2, encode_pb2, model_pb2, read_pb2, search_pb2, service_pb2, write_pb2
from vecgate.v1.filter_pb2 import Condition, Filter, FilterList, IdList, Selector
from vecgate.v1.metadata_pb2 import Value, ValueList
from vecgate.v1.outcome_pb2 import ItemError
from vecgate.v1.record_pb2 import Record
from vecgate_backends.memory.collection import MemoryCollection

LIMITS = {
    "max_message_bytes": 65_536,
    "max_batch": 3,
    "max_top_k": 4,
    "max_matches": 8,
    "max_page_size": 5,
    "max_dimension": 6,
    "max_metadata_fields": 2,
    "max_metadata_bytes": 40,
    "max_text_bytes": 10,
    "max_filter_depth": 2,
    "max_filter_terms": 3,
}
METHODS = service_pb2.DESCRIPTOR.services_by_name["VectorSearchService"].methods
WITHOUT_OTHER_LIMITS = {
    "GetCollection",
    "ListCollections",
    "UpdateCollection",
    "DeleteCollection",
    "ListModels",
    "GetServerInfo",
}
"""Beside that of the message: they name one thing, or are coerced to a page."""

LONG = "é" * 6  # 12 bytes
ONE = Value(int_value=1)
IDS = [f"id{number}" for number in range(6)]
MANY_FIELDS = dict.fromkeys("abc", ONE)
LARGE_FIELD = {"a": Value(string_value="x" * 40)}
IS_A = Filter(condition=Condition(field="a", eq=ONE))
DEEP = Filter(negation=Filter(negation=IS_A))
WIDE = Filter(any_of=FilterList(filters=[IS_A] * 4))
LISTED = Filter(condition=Condition(field="a", in_list=ValueList(values=[ONE] * 4)))
FILTERS = {"max_filter_depth": [DEEP], "max_filter_terms": [WIDE, LISTED]}


@dataclass(frozen=True)
class Case:
    """A request that passes a limit, and where; `item`: one of its items does, and fails alone."""

    method: str
    limit: str
    path: str
    request: Message
    item: bool = False

    def __str__(self) -> str:
        return f"{self.method}-{self.path}-{self.limit}"


def case(method: str, limit: str, path: str, /, *, item: bool = False, **fields: Any) -> Case:
    request = {each.name: each.input_type for each in METHODS}[method]
    kinds = vars(encode_pb2) | vars(write_pb2) | vars(search_pb2) | vars(read_pb2) | vars(collection_pb2)
    if "collection" in request.fields_by_name:
        fields.setdefault("collection", "notes")
    return Case(method, limit, path, (kinds | vars(model_pb2))[request.name](**fields), item)


def query(**fields: Any) -> search_pb2.BatchQuery:
    return search_pb2.BatchQuery(query=search_pb2.Query(text="a"), **fields)


def options(**fields: Any) -> search_pb2.SearchOptions:
    return search_pb2.SearchOptions(**fields)


def rerank(**fields: Any) -> search_pb2.SearchOptions:
    return options(rerank=search_pb2.Rerank(model="held", **fields))


def selected(method: str, ids_limit: str, **fields: Any) -> list[Case]:
    """Cases of a request with a selector."""
    ids = Selector(ids=IdList(ids=IDS))
    return [
        case(method, ids_limit, "selector.ids.ids", selector=ids, **fields),
        *(
            case(method, limit, "selector.filter", selector=Selector(filter=node), **fields)
            for limit, nodes in FILTERS.items()
            for node in nodes
        ),
    ]


def filtered(method: str, **fields: Any) -> list[Case]:
    """Cases of a request with a filter."""
    return [case(method, limit, "filter", filter=node, **fields) for limit, nodes in FILTERS.items() for node in nodes]


def searched(method: str, **fields: Any) -> list[Case]:
    """Cases of the options of a search."""
    return [
        case(method, "max_top_k", "options.top_k", options=options(top_k=5), **fields),
        case(method, "max_top_k", "options.rerank.depth", options=rerank(depth=5), **fields),
        case(method, "max_text_bytes", "options.rerank.query", options=rerank(query=LONG), **fields),
        *(
            case(method, limit, "options.filter", options=options(filter=node), **fields)
            for limit, nodes in FILTERS.items()
            for node in nodes
        ),
    ]


def written(method: str) -> list[Case]:
    """Cases of records that are written."""
    return [
        case(method, limit, f"records[0].{path}", item=True, records=[Record(id="a", **{"text": "a"} | fields)])
        for limit, path, fields in (
            ("max_text_bytes", "text", {"text": LONG}),
            ("max_metadata_fields", "metadata", {"metadata": MANY_FIELDS}),
            ("max_metadata_bytes", "metadata", {"metadata": LARGE_FIELD}),
        )
    ]


SIMPLE = search_pb2.Query(text="a")
CASES = [
    case("Encode", "max_batch", "texts", texts=["a"] * 4, role=encode_pb2.ROLE_QUERY),
    case("Encode", "max_text_bytes", "texts[1]", texts=["a", LONG], role=encode_pb2.ROLE_QUERY),
    case("Rerank", "max_batch", "texts", model="held", query="a", texts=["a"] * 4),
    case("Rerank", "max_text_bytes", "query", model="held", query=LONG, texts=["a"]),
    case("Rerank", "max_text_bytes", "texts[0]", model="held", query="a", texts=[LONG]),
    case("Upsert", "max_batch", "records", records=[Record(id=identifier, text="a") for identifier in IDS]),
    *written("Upsert"),
    *selected("Delete", "max_batch"),
    *selected("UpdateMetadata", "max_batch", remove=["a"]),
    case("UpdateMetadata", "max_metadata_fields", "set", selector=Selector(all=True), set=MANY_FIELDS),
    case("UpdateMetadata", "max_metadata_bytes", "set", selector=Selector(all=True), set=LARGE_FIELD),
    case("UpdateMetadata", "max_metadata_fields", "remove", selector=Selector(all=True), remove=["a", "b", "c"]),
    *searched("Search", query=SIMPLE),
    case("Search", "max_text_bytes", "query.text", query=search_pb2.Query(text=LONG)),
    *searched("SearchBatch", queries=[query()]),
    case("SearchBatch", "max_batch", "queries", queries=[query()] * 4),
    case("SearchBatch", "max_matches", "queries", queries=[query()] * 3, options=options(top_k=3)),
    case(
        "SearchBatch",
        "max_text_bytes",
        "queries[0].query.text",
        item=True,
        queries=[search_pb2.BatchQuery(query=search_pb2.Query(text=LONG))],
    ),
    *(
        case("SearchBatch", limit, "queries[0].filter", item=True, queries=[query(filter=node)])
        for limit, nodes in FILTERS.items()
        for node in nodes
    ),
    *selected("Get", "max_page_size"),
    case("Get", "max_page_size", "limit", selector=Selector(all=True), limit=6),
    *selected("Count", "max_batch"),
    *filtered("List"),
    *filtered("FieldStats", field="a"),
    case("FieldStats", "max_page_size", "limit", field="a", limit=6),
    case(
        "CreateCollection",
        "max_dimension",
        "unbound.dimension",
        name="new",
        unbound=collection_pb2.Unbound(dimension=7),
    ),
]


@dataclass(frozen=True)
class Watched:
    """A server with all limits small, and what its backend and its model were asked to do."""

    stub: Any
    channel: grpc.aio.Channel
    worker: HeldWorker
    asked: list[str]


@pytest.fixture
async def watched(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    asked: list[str] = []

    def note(name: str) -> Any:
        async def asking(*_: object, **__: object) -> None:
            asked.append(name)
            raise AssertionError(f"the backend was asked to {name}")

        return asking

    worker = HeldWorker()
    async with serving(MODEL_NOTES, models=held_models(worker), **LIMITS) as (server, stub):
        for name in ("search", "get", "upsert", "delete", "update_metadata", "count", "list_records", "field_stats"):
            monkeypatch.setattr(MemoryCollection, name, note(name))
        async with grpc.aio.insecure_channel(server.address) as channel:
            yield Watched(stub, channel, worker, asked)


def test_every_rpc_has_its_cases() -> None:
    told = {each.method for each in CASES} | WITHOUT_OTHER_LIMITS | {"UpsertStream"}
    assert told == {each.name for each in METHODS}
    assert {each.limit for each in CASES} == LIMITS.keys() - {"max_message_bytes"}


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_limit_is_enforced_before_any_work(case: Case, watched: Watched, refusal: Any) -> None:
    call = getattr(watched.stub, case.method)(case.request)
    if case.item:
        (outcome,) = (await call).outcomes
        check_item(outcome.error, case)
    else:
        refused = await refusal(call)
        assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "LIMIT_EXCEEDED")
        assert refused.fields == [case.path]
        assert f"limits.{case.limit} is {LIMITS[case.limit]}" in refused.message
    assert not watched.asked
    assert not watched.worker.read


def check_item(error: ItemError, case: Case) -> None:
    assert error.reason == "LIMIT_EXCEEDED"
    assert [violation.field for violation in error.field_violations] == [case.path]
    assert f"limits.{case.limit} is {LIMITS[case.limit]}" in error.message


@pytest.mark.parametrize("case", written("Upsert"), ids=str)
async def test_a_limit_of_records_holds_in_streams_too(case: Case, watched: Watched) -> None:
    stream = StreamCall(watched.stub)
    await stream.open("notes")
    await stream.put(case.request.records)  # type: ignore[attr-defined]  # it is an UpsertRequest
    (outcome,) = (await stream.result()).outcomes
    check_item(outcome.error, case)
    await stream.put([Record(id=identifier, text="a") for identifier in IDS])
    refused = (await stream.result()).error
    assert refused.reason == "LIMIT_EXCEEDED"
    assert "limits.max_batch is 3" in refused.message
    assert not watched.asked
    assert not watched.worker.read


@pytest.mark.parametrize("method", [each.name for each in METHODS])
async def test_too_large_a_message_is_refused_by_every_rpc(method: str, watched: Watched, refusal: Any) -> None:
    # Field 1000, which no message has, of 70,000 bytes.
    message = b"\xc2\x3e\xf0\xa2\x04" + bytes(70_000)
    path = f"/vecgate.v1.VectorSearchService/{method}"
    if method == "UpsertStream":
        stream: Any = watched.channel.stream_stream(path)()
        await stream.write(message)
        refused = await refusal(stream.read())
    else:
        call: Any = watched.channel.unary_unary(path)
        refused = await refusal(call(message))
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE")
    assert "limits.max_message_bytes is 65536" in refused.message
