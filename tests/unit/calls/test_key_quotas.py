"""What each key may use: places, requests a second, tokens a second; the clock is the test's."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

import pytest

from vecgate_backends.errors import ExhaustedError
from vecgate_server.calls.allotment import Allotment
from vecgate_server.calls.caller import ANYBODY, Caller
from vecgate_server.calls.key_quotas import KeyQuotas
from vecgate_server.config_limits import LimitSettings
from vecgate_server.encoders.token_allowance import token_allowance
from vecgate_server.errors import (
    KeyCallsExceededError,
    KeyRateExceededError,
    KeyTokensExceededError,
    TooManyStreamsError,
)

ANNA, BERT = Caller("anna"), Caller("bert")


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def refused(quotas: KeyQuotas, caller: Caller, kind: type[ExhaustedError]) -> ExhaustedError:
    with pytest.raises(kind) as raised, quotas.call(caller):
        pass
    return raised.value


def test_without_limits_nothing_is_bounded() -> None:
    quotas = KeyQuotas(LimitSettings(), Clock())
    with ExitStack() as stack:
        for _ in range(1_000):
            stack.enter_context(quotas.call(ANNA))
            stack.enter_context(quotas.stream(ANNA))
        assert token_allowance.get() is None


def test_an_entry_that_changes_holds_for_the_next_call() -> None:
    quotas = KeyQuotas(LimitSettings(), Clock())
    with quotas.call(ANNA), quotas.call(ANNA):
        fewer = Caller("anna", max_calls=2)
        assert "max_calls of the key is 2" in refused(quotas, fewer, KeyCallsExceededError).message
        with quotas.call(ANNA):
            pass


def test_each_key_has_its_places_and_gets_them_back() -> None:
    quotas = KeyQuotas(LimitSettings(max_calls_per_key=2), Clock())
    with quotas.call(ANNA):
        with quotas.call(ANNA):
            error = refused(quotas, ANNA, KeyCallsExceededError)
            assert error.message == "key anna has 2 calls in hand; limits.max_calls_per_key is 2"
            assert error.retry_after == 1
            with quotas.call(BERT):
                pass
        with quotas.call(ANNA):
            pass


def test_a_call_that_fails_gives_its_place_back() -> None:
    quotas = KeyQuotas(LimitSettings(max_calls_per_key=1), Clock())
    with pytest.raises(RuntimeError), quotas.call(ANNA):
        raise RuntimeError
    with quotas.call(ANNA):
        pass


def test_streams_are_counted_apart_from_calls() -> None:
    quotas = KeyQuotas(LimitSettings(max_calls_per_key=1, max_streams_per_key=1), Clock())
    with quotas.stream(ANNA):
        with quotas.call(ANNA):
            pass
        with (
            pytest.raises(TooManyStreamsError, match=r"limits\.max_streams_per_key is 1"),
            quotas.stream(ANNA),
        ):
            pass


def test_the_entry_of_a_key_goes_before_the_settings_and_0_is_no_limit() -> None:
    limits = LimitSettings(max_calls_per_key=1, requests_per_second_per_key=5, tokens_per_second_per_key=100)
    own = Caller("anna", max_calls=0, requests_per_second=2.5, tokens_per_second=7)
    assert Allotment.of(own, limits) == Allotment(0, 0, 2.5, 7)
    assert Allotment.of(BERT, limits) == Allotment(1, 0, 5, 100)
    error = refused(exhausted(KeyQuotas(LimitSettings(), Clock()), own, 25), own, KeyRateExceededError)
    assert error.message == "key anna may make 2.5 requests a second (requests_per_second of the key)"


def exhausted(quotas: KeyQuotas, caller: Caller, calls: int) -> KeyQuotas:
    for _ in range(calls):
        with quotas.call(caller):
            pass
    return quotas


def test_a_key_that_calls_too_often_is_told_its_turn() -> None:
    clock = Clock()
    quotas = exhausted(KeyQuotas(LimitSettings(requests_per_second_per_key=2), clock), ANNA, 20)
    error = refused(quotas, ANNA, KeyRateExceededError)
    assert "limits.requests_per_second_per_key" in error.message
    assert error.retry_after == 0.5
    assert refused(quotas, ANNA, KeyRateExceededError).retry_after == 1.0
    exhausted(quotas, BERT, 20)
    clock.now += 0.5
    exhausted(quotas, ANNA, 1)


def test_a_changed_entry_holds_at_once() -> None:
    quotas = exhausted(KeyQuotas(LimitSettings(), Clock()), ANNA, 100)
    narrower = Caller("anna", requests_per_second=1)
    exhausted(quotas, narrower, 10)
    refused(quotas, narrower, KeyRateExceededError)
    exhausted(quotas, ANNA, 1)


def test_callers_without_a_key_share_one_allotment() -> None:
    quotas = exhausted(KeyQuotas(LimitSettings(requests_per_second_per_key=1), Clock()), ANYBODY, 10)
    assert refused(quotas, Caller(), KeyRateExceededError).message.startswith("whoever calls without a key may make 1 ")


async def test_a_stream_is_read_no_faster_than_its_key_may_make_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now += seconds

    slept: list[float] = []
    clock = Clock()
    monkeypatch.setattr(asyncio, "sleep", sleep)
    quotas = KeyQuotas(LimitSettings(requests_per_second_per_key=2, burst_seconds=1), clock)
    with quotas.stream(ANNA) as turn:
        for _ in range(4):
            await turn()
    assert slept == pytest.approx([0.5, 0.5, 0.5])


def tokens_of(quotas: KeyQuotas, kind: str, stack: ExitStack) -> Any:
    stack.enter_context(quotas.call(ANNA) if kind == "call" else quotas.stream(ANNA))
    return token_allowance.get()


def test_a_call_of_more_tokens_than_a_burst_is_let_in_and_the_next_one_waits_for_its_debt() -> None:
    clock = Clock()
    quotas = KeyQuotas(LimitSettings(tokens_per_second_per_key=100, burst_seconds=1), clock)
    with ExitStack() as stack:
        tokens = tokens_of(quotas, "call", stack)
        tokens.admit(100)
        tokens.charge(999)
    with ExitStack() as stack:
        tokens = tokens_of(quotas, "call", stack)
        with pytest.raises(KeyTokensExceededError, match=r"limits\.tokens_per_second_per_key") as raised:
            tokens.admit(1)
        assert raised.value.retry_after == pytest.approx(10)
        clock.now += 10
        tokens.admit(1)
    assert token_allowance.get() is None


@pytest.mark.parametrize(("kind", "refused_later"), [("call", False), ("stream", True)])
def test_a_call_is_not_refused_halfway_but_each_batch_of_a_stream_may_be(kind: str, refused_later: bool) -> None:
    quotas = KeyQuotas(LimitSettings(tokens_per_second_per_key=1, burst_seconds=1), Clock())
    with ExitStack() as stack:
        tokens = tokens_of(quotas, kind, stack)
        tokens.admit(50)
        if refused_later:
            with pytest.raises(KeyTokensExceededError):
                tokens.admit(1)
        else:
            tokens.admit(1)
