"""One request for every method, that works and has an effect where the method has one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from vecgate.v1 import (
    collection_pb2,
    encode_pb2,
    ingest_pb2,
    model_pb2,
    read_pb2,
    search_pb2,
    server_info_pb2,
    write_pb2,
)
from vecgate.v1.filter_pb2 import IdList, Selector
from vecgate.v1.metadata_pb2 import Value
from vecgate.v1.record_pb2 import Record
from vecgate.v1.service_pb2 import DESCRIPTOR
from vecgate.v1.vector_pb2 import Vector

METHODS = [method.name for method in DESCRIPTOR.services_by_name["VectorSearchService"].methods]
WRITES = ["Upsert", "UpsertStream", "UpdateMetadata", "Delete"]
ADMIN = ["CreateCollection", "UpdateCollection", "DeleteCollection"]
WITHOUT_COLLECTION = ["Encode", "Rerank", "ListModels", "GetServerInfo", "ListCollections"]
WITH_NAMESPACE = [*WRITES, "Search", "SearchBatch", "Get", "Count", "List", "FieldStats"]
X, Y = (1.0, 0.0), (0.0, 1.0)


def vector(*components: float) -> Vector:
    """Build a vector."""
    return Vector(packed=np.array(components, "<f4").tobytes())


def record(identifier: str, text: str, components: tuple[float, ...] = X, **metadata: str) -> Record:
    """Build a record of text, vector and strings."""
    values = {name: Value(string_value=value) for name, value in metadata.items()}
    return Record(id=identifier, text=text, vector=vector(*components), metadata=values)


def _stream(collection: str, namespace: str) -> Iterator[ingest_pb2.UpsertStreamRequest]:
    yield ingest_pb2.UpsertStreamRequest(open=ingest_pb2.UpsertStreamOpen(collection=collection, namespace=namespace))
    batch = ingest_pb2.UpsertStreamBatch(sequence=1, records=[record("planted", "planted")])
    yield ingest_pb2.UpsertStreamRequest(batch=batch)
    yield ingest_pb2.UpsertStreamRequest(close=ingest_pb2.UpsertStreamClose())


_NEAREST = search_pb2.Query(vector=vector(*X))
_ALL = Selector(all=True)
_FIRST = Selector(ids=IdList(ids=["a"]))

REQUESTS: Mapping[str, Callable[[str, str], Any]] = {
    "Encode": lambda _, __: encode_pb2.EncodeRequest(texts=["text"], role=encode_pb2.ROLE_QUERY, model="none"),
    "Upsert": lambda name, space: write_pb2.UpsertRequest(
        collection=name, namespace=space, records=[record("planted", "planted")]
    ),
    "UpsertStream": _stream,
    "UpdateMetadata": lambda name, space: write_pb2.UpdateMetadataRequest(
        collection=name, namespace=space, selector=_ALL, set={"planted": Value(bool_value=True)}
    ),
    "Delete": lambda name, space: write_pb2.DeleteRequest(collection=name, namespace=space, selector=_ALL),
    "Search": lambda name, space: search_pb2.SearchRequest(collection=name, namespace=space, query=_NEAREST),
    "SearchBatch": lambda name, space: search_pb2.SearchBatchRequest(
        collection=name, namespace=space, queries=[search_pb2.BatchQuery(query=_NEAREST)]
    ),
    "Rerank": lambda _, __: model_pb2.RerankRequest(model="none", query="query", texts=["text"]),
    "Get": lambda name, space: read_pb2.GetRequest(collection=name, namespace=space, selector=_FIRST),
    "Count": lambda name, space: read_pb2.CountRequest(collection=name, namespace=space),
    "List": lambda name, space: read_pb2.ListRequest(collection=name, namespace=space),
    "FieldStats": lambda name, space: read_pb2.FieldStatsRequest(collection=name, namespace=space, field="owner"),
    "CreateCollection": lambda name, _: collection_pb2.CreateCollectionRequest(
        name=f"{name}-made", unbound=collection_pb2.Unbound(dimension=2)
    ),
    "GetCollection": lambda name, _: collection_pb2.GetCollectionRequest(name=name),
    "ListCollections": lambda _, __: collection_pb2.ListCollectionsRequest(),
    "UpdateCollection": lambda name, _: collection_pb2.UpdateCollectionRequest(
        name=name, index=collection_pb2.IndexConfig()
    ),
    "DeleteCollection": lambda name, _: collection_pb2.DeleteCollectionRequest(name=name),
    "ListModels": lambda _, __: model_pb2.ListModelsRequest(),
    "GetServerInfo": lambda _, __: server_info_pb2.GetServerInfoRequest(),
}
"""Method → a request of a collection and a namespace."""


def ask(
    stub: Any, method: str, collection: str, namespace: str = "", *, authorization: str | list[str] | None = None
) -> Any:
    """Make the request of a method, with what stands in the metadata "authorization", and return all that is answered."""
    values = [authorization] if isinstance(authorization, str) else authorization or []
    metadata = [("authorization", value) for value in values]
    call = getattr(stub, method)(REQUESTS[method](collection, namespace), metadata=metadata, timeout=30)
    return list(call) if method == "UpsertStream" else call
