"""Inputs of any length are cut into requests that a server takes, with nothing lost, doubled or out of order."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecgate import InvalidArgumentError, Limits, UnavailableError
from vecgate.batching import FRAMING_BYTES, BatchBounds, batch_bounds, batches, query_bounds
from vecgate.channel import MAX_ATTEMPTS, pause_before_retry, pauses
from vecgate.errors import InternalError, ResourceExhaustedError
from vecgate.v1.search_pb2 import Rerank, SearchOptions

LIMITS = Limits(
    max_message_bytes=4_000_000,
    max_batch=1_000,
    max_top_k=1_000,
    max_page_size=1_000,
    max_dimension=1_000,
    max_metadata_fields=10,
    max_metadata_bytes=1_000,
    max_text_bytes=1_000,
    max_filter_depth=10,
    max_filter_terms=10,
)


@given(st.lists(st.binary(max_size=50)), st.integers(1, 5), st.integers(1, 100))
def test_batches_keep_every_item_in_order_and_obey_the_bounds(items: list[bytes], most: int, most_bytes: int) -> None:
    cut = list(batches(items, len, BatchBounds(most, most_bytes, most_bytes)))
    assert [item for batch in cut for item in batch] == items
    for batch in cut:
        assert 1 <= len(batch) <= most
        assert len(batch) == 1 or sum(len(item) + FRAMING_BYTES for item in batch) <= most_bytes


def test_batches_are_cut_as_they_are_asked_for() -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    first = next(iter(batches(source(), lambda _: 1, BatchBounds(10, 1_000, 1_000))))
    assert first == list(range(10))
    assert len(taken) == 10


def test_requests_stay_below_the_servers_limits() -> None:
    small = dataclasses.replace(LIMITS, max_batch=7, max_message_bytes=10_000)
    bounds = batch_bounds(small)
    assert bounds.items == 7
    assert bounds.bytes == bounds.max_bytes < 10_000


@pytest.mark.parametrize(
    ("asked", "queries"),
    [({}, 10), ({"top_k": 500}, 2), ({"top_k": 5, "rerank": Rerank(depth=250)}, 4), ({"top_k": 5_000}, 1)],
)
def test_searches_in_one_request_ask_for_no_more_matches_than_the_server_gives(asked: Any, queries: int) -> None:
    limits = dataclasses.replace(LIMITS, max_matches=1_000)
    assert query_bounds(limits, None, SearchOptions(**asked)).items == queries
    older = query_bounds(LIMITS, 50, SearchOptions(**asked))
    assert older == batch_bounds(LIMITS, 50)


@pytest.mark.parametrize("size", [0, -1, 1_001])
def test_a_batch_size_the_server_does_not_take_is_refused(size: int) -> None:
    with pytest.raises(InvalidArgumentError, match="not within 1 to 1000"):
        batch_bounds(LIMITS, size)


@given(st.floats(0, 1, exclude_max=True))
def test_pauses_grow_and_end(fraction: float) -> None:
    waits = list(pauses(lambda: fraction))
    assert len(waits) == MAX_ATTEMPTS - 1
    assert waits == sorted(waits)
    assert all(wait > 0 for wait in waits)


def test_a_refusal_with_a_hint_waits_at_least_as_long_as_the_server_says() -> None:
    refused = ResourceExhaustedError("busy", retry_after=0.5)
    pause = pause_before_retry(refused, iter(()), repeatable=False, remaining=10)
    assert pause is not None
    assert pause >= 0.5


@pytest.mark.parametrize(
    ("error", "repeatable", "remaining"),
    [
        pytest.param(ResourceExhaustedError("busy", retry_after=0.5), True, 0.4, id="beyond the deadline"),
        pytest.param(ResourceExhaustedError("disk full"), True, 10, id="refused without a hint"),
        pytest.param(UnavailableError("gone"), False, 10, id="unavailable and not repeatable"),
        pytest.param(InternalError("oops"), True, 10, id="no retry helps"),
    ],
)
def test_an_error_that_no_retry_cures_is_final(error: UnavailableError, repeatable: bool, remaining: float) -> None:
    assert pause_before_retry(error, pauses(), repeatable=repeatable, remaining=remaining) is None
