"""Slow calls are logged with where their time went and the shape of what was asked, never with what was written."""

from __future__ import annotations

import logging

import grpc
import pytest

from vecgate.v1.filter_pb2 import Condition, Filter, FilterList
from vecgate.v1.metadata_pb2 import Value, ValueList
from vecgate.v1.search_pb2 import Query, SearchOptions, SearchRequest
from vecgate.v1.write_pb2 import DeleteRequest
from vecgate_server.call_clock import CallClock
from vecgate_server.calls.caller import ANYBODY
from vecgate_server.calls.observer import EndedCall
from vecgate_server.encoders.base import EncodeTimings
from vecgate_server.slow_calls import MOST_RECORDS, PERIOD_SECONDS, SlowCallLog, filter_shape

FILTER = Filter(
    all_of=FilterList(
        filters=[
            Filter(condition=Condition(field="secret-field", eq=Value(string_value="secret-value"))),
            Filter(
                condition=Condition(field="n", in_list=ValueList(values=[Value(int_value=each) for each in range(3)]))
            ),
            Filter(negation=Filter(condition=Condition(field="gone", exists=True))),
            Filter(expression='a = "secret-words"'),
        ]
    )
)
SEARCH = SearchRequest(
    collection="docs", query=Query(text="secret-text"), options=SearchOptions(top_k=20, filter=FILTER)
)


def ended(seconds: float, *, method: str = "Search", request: object = SEARCH) -> EndedCall:
    clock = CallClock()
    clock.encoded(EncodeTimings(queue_ns=4_000_000, tokenize_ns=1_000_000, encode_ns=30_000_000))
    clock.backend_worked("faiss", "search", 0, 250_000_000)
    clock.plan = "exact over 7 records"
    return EndedCall(method, "id", "peer", ANYBODY, grpc.StatusCode.OK, "", seconds, request, clock)


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    fields = vars(record)["fields"]
    assert isinstance(fields, dict)
    return fields


def test_a_slow_call_is_told_with_its_parts(caplog: pytest.LogCaptureFixture) -> None:
    log = SlowCallLog(0.2)
    log.ended(ended(0.19))
    log.ended(ended(0.3))
    (record,) = caplog.records
    assert record.getMessage() == "slow call: Search took 0.300 s"
    assert fields_of(record) == {
        "method": "Search",
        "code": "OK",
        "seconds": 0.3,
        "queue_ms": 4.0,
        "tokenize_ms": 1.0,
        "encode_ms": 30.0,
        "backend_ms": 250.0,
        "collection": "docs",
        "top_k": 20,
        "filter": "all_of(eq, in_list[3], negation(exists), expression[18 characters])",
        "plan": "exact over 7 records",
    }
    assert "secret" not in str(vars(record))


def test_a_filter_in_a_selector_has_its_shape_told_too(caplog: pytest.LogCaptureFixture) -> None:
    request = DeleteRequest(collection="docs")
    request.selector.filter.CopyFrom(FILTER.all_of.filters[0])
    SlowCallLog(0.2).ended(ended(1, method="Delete", request=request))
    assert fields_of(caplog.records[0])["filter"] == "eq"


def test_a_call_without_a_request_is_told_by_its_parts(caplog: pytest.LogCaptureFixture) -> None:
    SlowCallLog(0.2).ended(ended(1, request=None))
    assert "collection" not in fields_of(caplog.records[0])


def test_a_stream_is_not_slow_for_being_long(caplog: pytest.LogCaptureFixture) -> None:
    SlowCallLog(0.2).ended(ended(100, method="UpsertStream", request=None))
    assert not caplog.records


def test_many_slow_calls_do_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    log = SlowCallLog(0.2, now=lambda: now)
    for _ in range(MOST_RECORDS + 25):
        log.ended(ended(1))
    assert len(caplog.records) == MOST_RECORDS
    now += PERIOD_SECONDS
    log.ended(ended(1))
    log.ended(ended(1))
    assert fields_of(caplog.records[-2])["left_out"] == 25
    assert "left_out" not in fields_of(caplog.records[-1])


def test_a_filter_with_nothing_in_it_has_a_shape() -> None:
    assert filter_shape(Filter()) == "nothing"
