"""Requests that are right, of every RPC and with every field somewhere: what mutations begin from.

They are about two collections, one bound to the model of two dimensions and one unbound; `restoring()` makes them and their records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from vecgate.v1 import collection_pb2 as collections
from vecgate.v1 import encode_pb2 as encoding
from vecgate.v1 import filter_pb2 as filters
from vecgate.v1 import ingest_pb2 as ingest
from vecgate.v1 import metadata_pb2 as metadata
from vecgate.v1 import model_pb2 as models
from vecgate.v1 import outcome_pb2 as outcomes
from vecgate.v1 import read_pb2 as read
from vecgate.v1 import record_pb2 as records
from vecgate.v1 import search_pb2 as search
from vecgate.v1 import server_info_pb2 as server_info
from vecgate.v1 import vector_pb2 as vectors
from vecgate.v1 import write_pb2 as write

BOUND = "fuzz-bound"
UNBOUND = "fuzz-unbound"
MADE = "fuzz-made"
DIMENSION = 2

_ALL_METADATA = records.MetadataFields(all=True)
_EVERYTHING = records.ReturnFields(
    text=True, metadata=_ALL_METADATA, vector=True, vector_encoding=vectors.VECTOR_ENCODING_FLOATS
)
_SOME_METADATA = records.ReturnFields(metadata=records.MetadataFields(names=records.FieldNames(names=["year", "tags"])))


def packed(*components: float) -> vectors.Vector:
    """Build a vector as clients send it."""
    return vectors.Vector(packed=np.array(components, "<f4").tobytes())


def value(content: str | float | bool | list[str] | Timestamp) -> metadata.Value:
    """Build a metadata value of the kind that the Python value has."""
    match content:
        case bool():
            return metadata.Value(bool_value=content)
        case str():
            return metadata.Value(string_value=content)
        case int():
            return metadata.Value(int_value=content)
        case float():
            return metadata.Value(double_value=content)
        case list():
            return metadata.Value(string_list_value=metadata.StringList(values=content))
        case _:
            return metadata.Value(timestamp_value=content)


def record(identifier: str, year: int) -> records.Record:
    """Build a record with a text, a vector and metadata of every kind."""
    fields = {
        "year": value(year),
        "price": value(1.5),
        "odd": value(bool(year % 2)),
        "title": value(f'a "quoted" title {year}'),
        "tags": value(["a", "b"]),
        "seen": value(Timestamp(seconds=1_700_000_000 + year, nanos=5)),
    }
    return records.Record(id=identifier, text=f"text {year}", vector=packed(1.0, year / 1_000), metadata=fields)


def condition(field: str, **test: object) -> filters.Filter:
    """Build a filter of one condition."""
    return filters.Filter(condition=filters.Condition(field=field, **test))  # type: ignore[arg-type]  # one of its tests


FILTERS: Sequence[filters.Filter] = (
    condition("year", eq=value(3)),
    condition("tags", eq=value("a")),
    condition("title", in_list=metadata.ValueList(values=[value("x"), value(1), value(True)])),
    condition("price", gte=value(1.0)),
    condition("seen", lt=value(Timestamp(seconds=1_800_000_000))),
    condition("nothing", exists=False),
    filters.Filter(
        all_of=filters.FilterList(
            filters=[
                condition("year", gt=value(1)),
                filters.Filter(negation=condition("odd", eq=value(True))),
                filters.Filter(
                    any_of=filters.FilterList(filters=[condition("year", lte=value(5)), condition("tags", exists=True)])
                ),
            ]
        )
    ),
    filters.Filter(expression='year > 1 AND NOT (title = "a" OR tags:*) AND price IN (1, 2.0)'),
    filters.Filter(expression='seen >= timestamp("2024-01-02T03:04:05.6+02:00") OR exists("odd name") AND year != 3'),
)
SELECTORS: Sequence[filters.Selector] = (
    filters.Selector(ids=filters.IdList(ids=["a1", "a2", "nobody"])),
    *(filters.Selector(filter=each) for each in FILTERS),
    filters.Selector(all=True),
)


def _search_options() -> list[search.SearchOptions]:
    return [
        search.SearchOptions(),
        *(search.SearchOptions(filter=each, top_k=3, explain=True) for each in FILTERS),
        search.SearchOptions(
            top_k=5, score_threshold=0.1, fields=_EVERYTHING, parameters=search.SearchParameters(exact=True)
        ),
        search.SearchOptions(layout=search.MATCH_LAYOUT_COLUMNS, parameters=search.SearchParameters(ef=50, nprobe=2)),
        search.SearchOptions(fields=_SOME_METADATA, truncation=outcomes.TRUNCATION_POLICY_ERROR),
        search.SearchOptions(rerank=search.Rerank(model="held", depth=5, query="text")),
        search.SearchOptions(vector_fingerprint="sha256:0", consistency_token="a.1"),
        search.SearchOptions(hybrid=search.Hybrid(vector_weight=0.5)),
        search.SearchOptions(diversity=search.Diversity(strength=0.5)),
        search.SearchOptions(grouping=search.Grouping(field="year", group_size=2)),
    ]


def _searches() -> list[Message]:
    queries = [search.Query(text="heat"), search.Query(vector=packed(1, 0)), search.Query(id="a1")]
    options = _search_options()
    return [
        search.SearchRequest(collection=name, query=query, options=each)
        for name in (BOUND, UNBOUND)
        for query in queries
        for each in options
    ]


def _search_batches() -> list[Message]:
    queries = [
        search.BatchQuery(query=search.Query(vector=packed(0, 1)), filter=FILTERS[0]),
        search.BatchQuery(query=search.Query(text="flow"), rerank_query="flow"),
        search.BatchQuery(query=search.Query(id="a2"), filter=FILTERS[7]),
        search.BatchQuery(query=search.Query(vector=vectors.Vector(floats=vectors.FloatList(values=[0.5, 0.5])))),
    ]
    return [
        search.SearchBatchRequest(collection=name, queries=queries, options=options)
        for name in (BOUND, UNBOUND)
        for options in _search_options()
    ]


def _writes() -> list[Message]:
    some = [record("a1", 1), record("a9", 9), records.Record(id="text", text="of text alone")]
    return [
        write.UpsertRequest(
            collection=name, records=some, mode=mode, acknowledgement=acknowledgement, truncation=truncation
        )
        for name in (BOUND, UNBOUND)
        for mode in (write.WRITE_MODE_UPSERT, write.WRITE_MODE_INSERT, write.WRITE_MODE_UPDATE)
        for acknowledgement, truncation in (
            (write.ACKNOWLEDGEMENT_DURABLE, outcomes.TRUNCATION_POLICY_TRUNCATE),
            (write.ACKNOWLEDGEMENT_SEARCHABLE, outcomes.TRUNCATION_POLICY_ERROR),
        )
    ]


def _selected() -> Mapping[str, Sequence[Message]]:
    return {
        "UpdateMetadata": [
            write.UpdateMetadataRequest(
                collection=UNBOUND, selector=each, set={"year": value(7), "new": value("n")}, remove=["price"]
            )
            for each in SELECTORS
        ],
        "Delete": [write.DeleteRequest(collection=UNBOUND, selector=each, dry_run=True) for each in SELECTORS]
        + [write.DeleteRequest(collection=BOUND, selector=SELECTORS[0])],
        "Get": [read.GetRequest(collection=BOUND, selector=each, fields=_EVERYTHING, limit=3) for each in SELECTORS],
        "Count": [read.CountRequest(collection=BOUND, selector=each) for each in SELECTORS]
        + [read.CountRequest(collection=BOUND, consistency_token="a.1")],
        "List": [
            read.ListRequest(collection=BOUND, filter=each, page_size=2, fields=_SOME_METADATA) for each in FILTERS
        ]
        + [read.ListRequest(collection=BOUND, page_size=2, page_token="AAAA")],
        "FieldStats": [
            read.FieldStatsRequest(collection=BOUND, field=field, filter=each, limit=3)
            for each in FILTERS
            for field in ("year", "tags", "seen")
        ],
    }


def _collections() -> Mapping[str, Sequence[Message]]:
    indexes = [
        collections.IndexConfig(flat=collections.FlatIndex()),
        collections.IndexConfig(
            hnsw=collections.HnswIndex(m=8, ef_construction=50, ef=20, quantization=collections.QUANTIZATION_SCALAR8)
        ),
        collections.IndexConfig(ivf=collections.IvfIndex(lists=4, nprobe=2)),
    ]
    return {
        "CreateCollection": [
            collections.CreateCollectionRequest(
                name=MADE, unbound=collections.Unbound(dimension=3), metric=collections.METRIC_DOT, index=each
            )
            for each in indexes
        ]
        + [
            collections.CreateCollectionRequest(
                name=BOUND, model=collections.ModelChoice(name="held", dimensions=2), if_not_exists=True
            )
        ],
        "GetCollection": [collections.GetCollectionRequest(name=UNBOUND)],
        "ListCollections": [
            collections.ListCollectionsRequest(page_size=1, page_token=token) for token in ("", "AAAA")
        ],
        "UpdateCollection": [collections.UpdateCollectionRequest(name=UNBOUND, index=each) for each in indexes],
        "DeleteCollection": [collections.DeleteCollectionRequest(name=MADE)],
    }


SEEDS: Mapping[str, Sequence[Message]] = {
    "Encode": [
        encoding.EncodeRequest(
            texts=["one", "two"], role=role, dimensions=2, truncation=outcomes.TRUNCATION_POLICY_TRUNCATE
        )
        for role in (encoding.ROLE_QUERY, encoding.ROLE_DOCUMENT)
    ],
    "Upsert": _writes(),
    "Search": _searches(),
    "SearchBatch": _search_batches(),
    "Rerank": [models.RerankRequest(model="held", query="text", texts=["one", "two"])],
    "ListModels": [models.ListModelsRequest()],
    "GetServerInfo": [server_info.GetServerInfoRequest()],
    **_selected(),
    **_collections(),
}
"""Method → requests that are right, or refused for nothing but a token or a model that are nobody's."""

STREAM: Sequence[ingest.UpsertStreamRequest] = (
    ingest.UpsertStreamRequest(
        open=ingest.UpsertStreamOpen(collection=BOUND, mode=write.WRITE_MODE_UPSERT, vector_fingerprint="sha256:0")
    ),
    ingest.UpsertStreamRequest(batch=ingest.UpsertStreamBatch(sequence=1, records=[record("s1", 1)])),
    ingest.UpsertStreamRequest(
        batch=ingest.UpsertStreamBatch(sequence=2, records=[records.Record(id="s2", text="streamed"), record("s3", 3)])
    ),
    ingest.UpsertStreamRequest(close=ingest.UpsertStreamClose()),
)
"""What is said on a stream."""


def restoring() -> Sequence[tuple[str, Message]]:
    """Return the calls that make the collections and their records; those that exist are deleted before."""
    stored = [record(f"a{number}", number) for number in range(1, 9)]
    return [
        (
            "CreateCollection",
            collections.CreateCollectionRequest(name=UNBOUND, unbound=collections.Unbound(dimension=DIMENSION)),
        ),
        ("CreateCollection", collections.CreateCollectionRequest(name=BOUND)),
        *(("Upsert", write.UpsertRequest(collection=name, records=stored)) for name in (UNBOUND, BOUND)),
    ]
