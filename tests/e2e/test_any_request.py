"""Requests of every shape that the .proto allows: each is answered in time, with OK or with a documented reason."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vecgate.v1.collection_pb2 import (
    METRIC_COSINE,
    METRIC_DOT,
    CreateCollectionRequest,
    IndexConfig,
    Unbound,
    UpdateCollectionRequest,
)
from vecgate.v1.metadata_pb2 import Value
from vecgate.v1.record_pb2 import Record
from vecgate.v1.service_pb2 import DESCRIPTOR
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate.v1.vector_pb2 import Vector
from vecgate.v1.write_pb2 import UpsertRequest

REPOSITORY = Path(__file__).parents[2]
DOCUMENTED = frozenset(re.findall(r"^\| `([A-Z_]+)` \|", (REPOSITORY / "docs/errors.md").read_text(), re.MULTILINE))
METHODS = [
    method for method in DESCRIPTOR.services_by_name["VectorSearchService"].methods if not method.client_streaming
]
COLLECTIONS = {"any-cosine": METRIC_COSINE, "any-dot": METRIC_DOT}
DIMENSION = 3
DEEPEST = 7
SELDOM = frozenset(
    {"rerank", "hybrid", "diversity", "grouping", "dimensions", "vector_fingerprint", "consistency_token"}
)
"""Refused almost always: whatever stands beside them would never be looked at."""
CALL_SECONDS = 30


def mostly(good: Sequence[Any], bad: Sequence[Any]) -> st.SearchStrategy[Any]:
    """One value in twenty is bad: a request of many values gets beyond the first check often enough."""
    return st.integers(0, 19).flatmap(lambda roll: st.sampled_from(good if roll else bad))


COMPONENTS = mostly([0.0, 1.0, -1.0, 0.5, 1e-45], [3e38, math.nan, math.inf])
PACKED = st.lists(COMPONENTS, min_size=DIMENSION, max_size=DIMENSION).map(lambda row: np.array(row, "<f4").tobytes())
WORDS = mostly(["a", "b", "year", "tags", "title", "é b"], ["", "a\0", "$a", "x" * 20_000])
TYPES: Mapping[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_STRING: WORDS,
    FieldDescriptor.TYPE_BYTES: PACKED,
    FieldDescriptor.TYPE_BOOL: mostly([True], [False]),
    FieldDescriptor.TYPE_FLOAT: COMPONENTS,
    FieldDescriptor.TYPE_DOUBLE: COMPONENTS,
    FieldDescriptor.TYPE_INT32: mostly([0, 1, 100], [-1, 2**31 - 1]),
    FieldDescriptor.TYPE_UINT32: mostly([4, 100], [0, 10_001, 2**32 - 1]),
    FieldDescriptor.TYPE_INT64: mostly([0, 1, -1, 2**53 + 1], [2**63 - 1, -(2**63)]),
}
NAMES: Mapping[str, st.SearchStrategy[Any]] = {
    "collection": mostly(list(COLLECTIONS), ["nowhere", "Ä"]),
    "namespace": mostly(["", "", "other"], ["é"]),
    "expression": mostly(["year > 1", 'title = "a" OR NOT tags:*', "year IN (1, 2.0)"], ["year >", "(" * 200]),
    "name": mostly([*COLLECTIONS, "made"], ["Bad", ""]),
    # No model is loaded, so that each request costs nothing.
    "model": st.just("nobody's"),
    "backend": mostly(["", "memory"], ["nowhere"]),
    "page_token": mostly([""], ["AAAA", "%"]),
    "consistency_token": mostly(["a.1"], [""]),
}
"""Values for fields of these names, in the place of those of their type."""


def values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.enum_type:
        return mostly(list(field.enum_type.values_by_number), [99])
    return NAMES.get(field.name, TYPES[field.type])


@st.composite
def messages(draw: st.DrawFn, descriptor: Any, depth: int = 0) -> Message:
    message = message_factory.GetMessageClass(descriptor)()
    alternatives: dict[str, list[FieldDescriptor]] = {}
    for field in descriptor.fields:
        name = field.containing_oneof.name if field.containing_oneof else field.name
        alternatives.setdefault(name, []).append(field)
    for fields in alternatives.values():
        field = draw(st.sampled_from(fields))
        left_out_in_ten = 9 if field.name in SELDOM else 1 if depth < 2 or len(fields) > 1 else 4
        if draw(st.integers(1, 10)) > left_out_in_ten and (depth < DEEPEST or not field.message_type):
            fill(draw, message, field, depth + 1)
    return message


def fill(draw: st.DrawFn, message: Message, field: FieldDescriptor, depth: int) -> None:
    here = getattr(message, field.name)
    if field.message_type and field.message_type.GetOptions().map_entry:
        for name in draw(st.lists(WORDS, max_size=3)):
            here[name].CopyFrom(draw(messages(field.message_type.fields_by_name["value"].message_type, depth)))
    elif field.is_repeated:
        one = messages(field.message_type, depth) if field.message_type else values(field)
        here.extend(draw(st.lists(one, min_size=draw(mostly([1], [0])), max_size=4)))
    elif field.message_type:
        here.CopyFrom(draw(messages(field.message_type, depth)))
    else:
        setattr(message, field.name, draw(values(field)))


@pytest.fixture(scope="module")
def blocking_stub(memory_server: Any) -> Iterator[Any]:
    with grpc.insecure_channel(memory_server.address) as channel:
        yield VectorSearchServiceStub(channel)


def restore(stub: Any) -> None:
    """Make the collections and their records again, whatever the requests did to them."""
    record = {"year": Value(int_value=1), "title": Value(string_value="a")}
    for name, metric in COLLECTIONS.items():
        unbound = Unbound(dimension=DIMENSION)
        stub.CreateCollection(
            CreateCollectionRequest(name=name, unbound=unbound, metric=metric, if_not_exists=True), timeout=CALL_SECONDS
        )
        vector = Vector(packed=np.ones(DIMENSION, "<f4").tobytes())
        records = [Record(id=id_, text="text", vector=vector, metadata=record) for id_ in "ab"]
        stub.Upsert(UpsertRequest(collection=name, records=records), timeout=CALL_SECONDS)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_request_is_answered_by_ok_or_a_documented_reason(blocking_stub: Any, data: st.DataObject) -> None:
    method = data.draw(st.sampled_from(METHODS))
    request: Any = data.draw(messages(method.input_type))
    if method.name in {"DeleteCollection", "CreateCollection"} and request.name in COLLECTIONS:
        request.name = "made"
    if method.name == "CreateCollection" and request.WhichOneof("source") != "unbound":
        request.unbound.dimension = DIMENSION
    if method.name == "Encode":
        request.model = "nobody's"
    restore(blocking_stub)
    call = getattr(blocking_stub, method.name).future(request, timeout=CALL_SECONDS)
    error = call.exception()
    if error is None:
        if method.name == "UpdateCollection":
            blocking_stub.UpdateCollection(
                UpdateCollectionRequest(name=request.name, index=IndexConfig()), timeout=CALL_SECONDS
            )
        return
    status = rpc_status.from_call(error)
    info = ErrorInfo()
    assert status is not None, f"{method.name}: {error}"
    assert status.details[0].Unpack(info)
    assert info.reason in DOCUMENTED - {"INTERNAL"}, f"{method.name}: {error}"
