"""A stream that breaks at any point is taken up again, and what must not be sent again is not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import grpc
import pytest
from faults.stream_stand_in import (
    SHUTTING_DOWN,
    Drain,
    Fault,
    Point,
    StandIn,
    expected_texts,
    refusal,
    serving,
    stand_in,
)

from vecgate import (
    Client,
    DeadlineExceededError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
    UpsertProgress,
    UpsertResult,
    VecgateError,
)
from vecgate.channel import INITIAL_BACKOFF_S, MAX_ATTEMPTS
from vecgate.errors import ERROR_CLASSES
from vecgate.upsert_stream.resuming import INTERRUPTIONS, Patience, Resuming

UpsertMany = Callable[..., UpsertResult]
RECORDS = [(f"id-{number % 70}", f"text {number}") for number in range(200)]
FINAL = [code for code in ERROR_CLASSES if code is not grpc.StatusCode.UNAVAILABLE]


def items(records: list[tuple[str, str]] = RECORDS) -> Iterator[dict[str, object]]:
    return ({"id": id_, "text": text} for id_, text in records)


@pytest.mark.parametrize(
    ("point", "sequence"),
    [("opened", 1), ("window", 1), *product(["arrived", "applied", "answered"], [1, 2, 7]), ("close", 1)],
)
def test_a_stream_that_breaks_at_any_point_is_taken_up_again(
    upsert_many: UpsertMany, target: str, service: StandIn, point: Point, sequence: int
) -> None:
    service.faults = [Fault(point, sequence)]
    told: list[UpsertProgress] = []
    result = upsert_many(target, items(), on_progress=told.append)
    assert (result.stored, result.failed, result.searchable) == (200, 0, True)
    assert service.texts == expected_texts(RECORDS)
    assert told[-1].finished == told[-1].sent == 200
    assert (len(service.opens), told[-1].reconnects) == ((1, 0) if point == "close" else (2, point != "opened"))


def test_streams_that_break_again_and_again_get_to_the_end(
    upsert_many: UpsertMany, target: str, service: StandIn
) -> None:
    service.faults = [Fault("applied", 2), Fault("opened"), Fault("answered", 1), Fault("window"), Fault("arrived", 3)]
    assert upsert_many(target, items()).stored == 200
    assert service.texts == expected_texts(RECORDS)
    assert len(service.opens) == 6


def test_what_has_no_result_goes_to_another_address_when_a_server_announces_its_end(
    upsert_many: UpsertMany, service: StandIn, target: str
) -> None:
    other = stand_in([Fault("opened", status=SHUTTING_DOWN)] * 3)
    other.texts = service.texts
    service.faults = [Drain(2), *[Fault("opened", status=SHUTTING_DOWN)] * 2]
    with serving(other) as port:
        result = upsert_many(f"ipv4:{target},127.0.0.1:{port}", items())
    assert (result.stored, service.texts) == (200, expected_texts(RECORDS))
    assert service.applied
    assert other.complaints == []


def test_other_calls_of_the_client_go_on_while_streams_break(target: str, service: StandIn) -> None:
    service.faults = [Fault("applied", 2), Fault("opened"), Fault("answered", 1)]
    counts: list[int] = []
    with Client(target) as client:
        client.upsert_many("docs", items(), on_progress=lambda _: counts.append(client.count("docs")))
        assert client.count("docs") == 70
    assert len(counts) > 10


@pytest.mark.parametrize("point", ["arrived", "applied"])
def test_inserts_that_may_have_been_stored_are_not_sent_again(
    upsert_many: UpsertMany, target: str, service: StandIn, point: Point
) -> None:
    service.faults = [Fault(point, 3)]
    with pytest.raises((UnavailableError, InternalError)) as raised:  # INTERNAL: see INTERRUPTIONS
        upsert_many(target, items(), mode="insert", batch_size=10)
    assert raised.value.acknowledged is not None
    assert raised.value.acknowledged.stored in {10, 20}
    assert len(service.opens) == 1


def test_inserts_go_on_over_a_break_with_nothing_under_way(
    upsert_many: UpsertMany, target: str, service: StandIn
) -> None:
    service.faults = [Fault("opened")]
    assert upsert_many(target, items(), mode="insert").stored == 200
    assert len(service.applied) == 200


@pytest.mark.parametrize("code", FINAL, ids=lambda code: code.name)
def test_any_other_status_of_the_server_is_final(
    upsert_many: UpsertMany, target: str, service: StandIn, code: grpc.StatusCode
) -> None:
    refused = refusal(code, "SOME_REASON")
    service.faults = [Fault("arrived", 3, refused), Fault("arrived", 1, refused)]
    with pytest.raises(VecgateError) as raised:
        upsert_many(target, items(), batch_size=10)
    assert type(raised.value) is ERROR_CLASSES[code]
    assert (raised.value.reason, raised.value.request_id) == ("SOME_REASON", "stream")
    assert raised.value.acknowledged is not None
    assert raised.value.acknowledged.stored in {10, 20}
    # Of a status that comes while a message is being sent, grpc.aio makes INTERNAL: the next stream shows what it was.
    assert len(service.opens) <= 2


def test_a_collection_that_is_not_there_is_told_before_a_record_is_read(
    upsert_many: UpsertMany, target: str, service: StandIn
) -> None:
    service.faults = [Fault("opened", status=refusal(grpc.StatusCode.NOT_FOUND, "COLLECTION_NOT_FOUND"))]
    source = items()
    with pytest.raises(NotFoundError, match="COLLECTION_NOT_FOUND"):
        upsert_many(target, source)
    assert next(source)["id"] == "id-0"


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.ABORTED], ids=lambda code: code.name
)
def test_a_status_that_says_when_to_come_back_is_followed(
    upsert_many: UpsertMany, target: str, service: StandIn, code: grpc.StatusCode
) -> None:
    service.faults = [Fault("arrived", 2, refusal(code, "BUSY", retry_after=0.01))] * 6
    assert upsert_many(target, items()).stored == 200
    assert len(service.opens) == 7


@pytest.mark.parametrize("code", list(INTERRUPTIONS), ids=lambda code: code.name)
def test_what_a_proxy_says_of_a_broken_connection_is_an_interruption(
    upsert_many: UpsertMany, target: str, service: StandIn, code: grpc.StatusCode
) -> None:
    service.faults = [Fault("arrived", 2, refusal(code, ""), from_server=False)]
    assert upsert_many(target, items()).stored == 200
    assert len(service.opens) == 2


def test_what_a_proxy_says_for_ever_is_final() -> None:
    resuming = Resuming(repeatable=True)
    pauses = [resuming.pause(InternalError("no server here"), unsettled=0, remaining=60) for _ in range(MAX_ATTEMPTS)]
    assert [pause is None for pause in pauses] == [False] * (MAX_ATTEMPTS - 1) + [True]


def test_a_server_that_is_away_is_tried_until_the_time_is_over() -> None:
    resuming = Resuming(repeatable=True)
    for _ in range(100):
        assert resuming.pause(UnavailableError("away"), unsettled=0, remaining=60) is not None
    assert resuming.pause(UnavailableError("away"), unsettled=0, remaining=1) is None


def test_a_server_that_did_something_is_tried_again_at_once() -> None:
    resuming = Resuming(repeatable=True)
    for _ in range(9):
        resuming.pause(UnavailableError("away"), unsettled=0, remaining=60)
    resuming.renew()
    pause = resuming.pause(UnavailableError("away"), unsettled=0, remaining=60)
    assert pause == pytest.approx(INITIAL_BACKOFF_S, rel=0.2)


def test_patience_runs_out_only_while_something_is_expected() -> None:
    now = 0.0
    patience = Patience(10, clock=lambda: now)
    now = 100
    assert patience.remaining() == 10
    patience.expect(something=True)
    now = 104
    patience.expect(something=True)
    assert patience.remaining() == 6
    patience.renew()
    assert patience.remaining() == 10
    now = 120
    assert patience.remaining() == 0
    patience.expect(something=False)
    assert patience.remaining() == 10


def test_a_server_that_never_comes_is_given_up(upsert_many: UpsertMany, unused_tcp_port: int) -> None:
    with pytest.raises(UnavailableError) as raised:
        upsert_many(f"127.0.0.1:{unused_tcp_port}", items(), timeout=0.5)
    assert raised.value.acknowledged is not None
    assert raised.value.acknowledged.stored == 0


def test_a_server_that_goes_silent_is_given_up(upsert_many: UpsertMany, target: str, service: StandIn) -> None:
    service.answering.clear()
    with pytest.raises(DeadlineExceededError, match=r"nothing got through for 0\.5 seconds"):
        upsert_many(target, items(), timeout=0.5)
    assert service.cancelled.wait(10)


def test_a_server_that_comes_up_late_is_found(upsert_many: UpsertMany, service: StandIn, unused_tcp_port: int) -> None:
    begun, done = threading.Event(), threading.Event()

    def serve() -> None:
        begun.wait(10)
        with serving(service, unused_tcp_port):
            done.wait(60)

    thread = threading.Thread(target=serve)
    thread.start()
    timer = threading.Timer(1.0, begun.set)
    timer.start()
    try:
        assert upsert_many(f"127.0.0.1:{unused_tcp_port}", items()).stored == 200
    finally:
        done.set()
        thread.join()


def test_a_wrong_argument_is_told_at_once(upsert_many: UpsertMany, target: str, service: StandIn) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"batch_size": 51}, "batch_size: 51 is not within 1 to 50"),
        ({"mode": "replace"}, "mode"),
        ({"timeout": 0}, "timeout"),
    ]
    for options, words in wrong:
        with pytest.raises(InvalidArgumentError, match=words):
            upsert_many(target, items(), **options)
    assert service.opens == []
