"""The log of a real server: which call a record is of, and which calls were slow, without anything that was written."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest

from vecgate.v1.collection_pb2 import CreateCollectionRequest, Unbound
from vecgate.v1.filter_pb2 import Condition, Filter
from vecgate.v1.metadata_pb2 import Value
from vecgate.v1.read_pb2 import CountRequest
from vecgate.v1.search_pb2 import Query, SearchOptions, SearchRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate.v1.vector_pb2 import FloatList, Vector

VECTOR = Vector(floats=FloatList(values=[0.125, 1]))
FILTER = Filter(condition=Condition(field="secret-field", eq=Value(string_value="secret-value")))


@pytest.fixture
def records(start_server: Any) -> list[dict[str, Any]]:
    """What a server logged of a search, which it takes for slow, and of a call that it refused."""
    server = start_server(
        {
            "backends": {"memory": {"kind": "memory"}},
            "models": {"preload": []},
            "telemetry": {"log_level": "debug", "log_format": "json", "slow_call_seconds": 1e-6},
        }
    )
    with grpc.insecure_channel(server.address) as channel:
        stub = VectorSearchServiceStub(channel)
        stub.CreateCollection(CreateCollectionRequest(name="notes", unbound=Unbound(dimension=2)))
        options = SearchOptions(top_k=7, filter=FILTER, explain=True)
        search = SearchRequest(collection="notes", query=Query(vector=VECTOR), options=options)
        stub.Search(search, metadata=(("x-request-id", "order-66"),))
        with pytest.raises(grpc.RpcError):
            stub.Count(CountRequest(collection="nothing"), metadata=(("x-request-id", "order-67"),))
    server.stop()
    return [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]


def test_a_slow_call_is_told_with_its_parts_and_its_shape(records: list[dict[str, Any]]) -> None:
    (slow,) = [each for each in records if each.get("request_id") == "order-66" and each["level"] == "warning"]
    assert slow["logger"] == "vecgate_server.slow_calls"
    assert {name: slow[name] for name in ("method", "code", "collection", "top_k", "filter")} == {
        "method": "Search",
        "code": "OK",
        "collection": "notes",
        "top_k": 7,
        "filter": "eq",
    }
    assert 0 < slow["backend_ms"] < 1000 * slow["seconds"]
    assert slow["plan"]
    assert "secret" not in json.dumps(records)
    assert "0.125" not in json.dumps(records)


def test_every_record_of_a_call_names_it(records: list[dict[str, Any]]) -> None:
    told = {
        identifier: [each["message"] for each in records if each.get("request_id") == identifier]
        for identifier in ("order-66", "order-67")
    }
    assert [message.split(" in ")[0] for message in told["order-66"] if " in " in message] == ["Search OK"]
    assert [message.split(" in ")[0] for message in told["order-67"] if " in " in message] == [
        "Count COLLECTION_NOT_FOUND"
    ]
