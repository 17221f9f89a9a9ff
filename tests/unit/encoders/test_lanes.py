from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecgate_server.encoders.base import Role
from vecgate_server.encoders.lanes import PADDING_TOKENS, Call, Lanes, MicroBatch, QueuedText
from vecgate_server.encoders.tokenized_text import TokenizedText

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=20)
CALLS = st.lists(st.tuples(st.sampled_from(list(Role)), LENGTHS), max_size=8)


def _texts(call: Call, lengths: list[int]) -> list[QueuedText[Call]]:
    return [
        QueuedText(call, row, TokenizedText(np.zeros(length, np.int32), np.zeros(length, np.int32), length))
        for row, length in enumerate(lengths)
    ]


def _drain(lanes: Lanes[Call]) -> list[MicroBatch[Call]]:
    batches = []
    while (batch := lanes.take()) is not None:
        batches.append(batch)
    return batches


@given(calls=CALLS, budget=st.integers(1, 100))
def test_every_text_leaves_once_within_the_budget_and_in_its_own_role(
    calls: list[tuple[Role, list[int]]], budget: int
) -> None:
    lanes: Lanes[str] = Lanes(micro_batch_tokens=budget)
    for number, (role, lengths) in enumerate(calls):
        lanes.put(f"{role}-{number}", role, _texts(f"{role}-{number}", lengths))
    for role in Role:
        assert lanes.tokens(role) == sum(sum(lengths) for owner, lengths in calls if owner is role)
    rows = defaultdict(list)
    for batch in _drain(lanes):
        padded = len(batch.texts) * max(len(queued.text) for queued in batch.texts)
        assert padded <= budget or len(batch.texts) == 1
        assert padded - batch.tokens <= PADDING_TOKENS
        for queued in batch.texts:
            assert queued.call.startswith(batch.role)
            rows[queued.call].append(queued.row)
    assert {call: sorted(found) for call, found in rows.items()} == {
        f"{role}-{number}": list(range(len(lengths))) for number, (role, lengths) in enumerate(calls)
    }
    assert [lanes.tokens(role) for role in Role] == [0, 0]


def test_a_query_passes_the_documents_that_came_before_it() -> None:
    lanes: Lanes[str] = Lanes(micro_batch_tokens=10)
    lanes.put("bulk", Role.DOCUMENT, _texts("bulk", [10, 10, 10]))
    first = lanes.take()
    lanes.put("query", Role.QUERY, _texts("query", [3]))
    second = lanes.take()
    assert first is not None
    assert second is not None
    assert (first.role, second.role) == (Role.DOCUMENT, Role.QUERY)
    assert len(_drain(lanes)) == 2


def test_small_calls_share_a_micro_batch() -> None:
    lanes: Lanes[str] = Lanes(micro_batch_tokens=64)
    for number in range(8):
        lanes.put(f"call {number}", Role.QUERY, _texts(f"call {number}", [8]))
    assert [len(batch.texts) for batch in _drain(lanes)] == [8]


def test_of_many_small_calls_those_of_like_length_run_together() -> None:
    lanes: Lanes[int] = Lanes(micro_batch_tokens=512)
    for number in range(40):
        lanes.put(number, Role.QUERY, _texts(number, [10 if number % 2 else 100]))
    lengths = [{len(queued.text) for queued in batch.texts} for batch in _drain(lanes)]
    assert sorted(lengths, key=min) == [{10}, *[{100}] * 4]


def test_the_turn_of_a_small_call_lasts_to_its_end_whatever_the_lengths_of_its_texts() -> None:
    lanes: Lanes[str] = Lanes(micro_batch_tokens=512)
    lanes.put("small", Role.DOCUMENT, _texts("small", [10, 60, 200]))
    lanes.put("large", Role.DOCUMENT, _texts("large", [128] * 100))
    callers = [{queued.call for queued in batch.texts} for batch in _drain(lanes)]
    assert callers[:3] == [{"small"}] * 3


def test_a_call_has_its_own_texts_before_those_of_others_in_its_turn() -> None:
    lanes: Lanes[str] = Lanes(micro_batch_tokens=100)
    lanes.put("large", Role.DOCUMENT, _texts("large", [10] * 1_000))
    lanes.put("small", Role.DOCUMENT, _texts("small", [10] * 10))
    first, second = _drain(lanes)[:2]
    assert {queued.call for queued in first.texts} == {"large"}
    assert [queued.call for queued in second.texts] == ["small"] * 10


@pytest.mark.parametrize("tokens", [40, 50])
def test_a_small_call_waits_for_one_micro_batch_of_each_large_one(tokens: int) -> None:
    lanes: Lanes[str] = Lanes(micro_batch_tokens=100)
    for number in range(8):
        lanes.put(f"large {number}", Role.DOCUMENT, _texts(f"large {number}", [tokens] * 100))
    lanes.put("small", Role.DOCUMENT, _texts("small", [90]))
    callers = [{queued.call for queued in batch.texts} for batch in _drain(lanes)]
    assert {"small"} in callers[: 8 + 1]


@settings(max_examples=20)
@given(lengths=st.lists(st.integers(20, 100), min_size=100, max_size=100), seed=st.integers(0, 9))
def test_many_small_calls_do_not_each_wait_for_a_run_of_a_large_one(lengths: list[int], seed: int) -> None:
    lanes: Lanes[str] = Lanes(micro_batch_tokens=512)
    lanes.put("large", Role.DOCUMENT, _texts("large", [20 + (seed + row) % 80 for row in range(1_000)]))
    for number, length in enumerate(lengths):
        lanes.put(f"small {number}", Role.DOCUMENT, _texts(f"small {number}", [length]))
    waited = of_large = 0
    for batch in _drain(lanes):
        of_large += sum(len(queued.text) for queued in batch.texts if queued.call == "large")
        if any(queued.call != "large" for queued in batch.texts):
            waited = of_large
    assert waited <= 3 * 512


def test_the_longest_texts_of_a_call_leave_first() -> None:
    lanes: Lanes[str] = Lanes(micro_batch_tokens=20)
    lanes.put("call", Role.DOCUMENT, _texts("call", [1, 20, 5, 9, 10]))
    assert [[len(queued.text) for queued in batch.texts] for batch in _drain(lanes)] == [[20], [10, 9], [5, 1]]


@given(lengths=LENGTHS, other=LENGTHS, taken=st.integers(0, 3))
def test_a_dropped_call_leaves_nothing_and_takes_nothing_from_others(
    lengths: list[int], other: list[int], taken: int
) -> None:
    lanes: Lanes[str] = Lanes(micro_batch_tokens=30)
    lanes.put("gone", Role.DOCUMENT, _texts("gone", lengths))
    lanes.put("stays", Role.DOCUMENT, _texts("stays", other))
    before = [batch for batch in (lanes.take() for _ in range(taken)) if batch is not None]
    lanes.drop("gone")
    after = _drain(lanes)
    assert not any(queued.call == "gone" for batch in after for queued in batch.texts)
    stayed = [queued.row for batch in before + after for queued in batch.texts if queued.call == "stays"]
    assert sorted(stayed) == list(range(len(other)))
    assert lanes.tokens(Role.DOCUMENT) == 0
