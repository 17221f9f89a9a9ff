"""What is sent again, and when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from client_methods import CALLS

from vecgate import (
    AsyncClient,
    CallCancelledError,
    Client,
    DeadlineExceededError,
    ResourceExhaustedError,
    TlsError,
    UnavailableError,
    VecgateError,
    channel,
)
from vecgate.channel import MAX_ATTEMPTS, pause_before_retry, pauses
from vecgate_server.calls.announced import ANNOUNCED

Start = Callable[..., tuple[Any, str]]
READS_AND_REPEATABLE_WRITES = {
    "Count",
    "Encode",
    "FieldStats",
    "Get",
    "GetCollection",
    "List",
    "ListCollections",
    "ListModels",
    "Rerank",
    "Search",
    "SearchBatch",
    "Upsert",
}
WITH_PATIENCE_OF_THEIR_OWN = {"health", "wait_ready", "server_info", "upsert_many"}
LAZY = {"list", "search_many"}
METHODS_OF_THE_CLIENT = {"SearchBatch": 3}
"""How many make this call, where that is more than one."""
OF_THE_CLIENT = {"GetServerInfo"}
"""It asks by itself."""
SENT_ONCE = {"CreateCollection", "UpdateCollection", "DeleteCollection", "Delete", "UpdateMetadata"}


@pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "asynchronous"])
async def test_what_changes_nothing_the_second_time_is_sent_again_when_the_server_was_unavailable(
    start: Start, monkeypatch: pytest.MonkeyPatch, asynchronous: bool
) -> None:
    monkeypatch.setattr(channel, "INITIAL_BACKOFF_S", 0.001)
    noting, target = start(code=grpc.StatusCode.UNAVAILABLE)
    sent = await attempts(noting, target, UnavailableError, asynchronous=asynchronous)
    assert sent == expected(dict.fromkeys(READS_AND_REPEATABLE_WRITES, MAX_ATTEMPTS) | dict.fromkeys(SENT_ONCE, 1))


@pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "asynchronous"])
@pytest.mark.parametrize(("announced", "times"), [(False, MAX_ATTEMPTS), (True, 1)], ids=["not-announced", "announced"])
async def test_what_was_dropped_is_sent_again_whatever_it_is_unless_it_was_announced(
    start: Start, monkeypatch: pytest.MonkeyPatch, announced: bool, times: int, asynchronous: bool
) -> None:
    monkeypatch.setattr(channel, "INITIAL_BACKOFF_S", 0.001)
    noting, target = start(code=grpc.StatusCode.CANCELLED, announced=announced)
    sent = await attempts(noting, target, CallCancelledError, asynchronous=asynchronous)
    assert sent == expected(dict.fromkeys(READS_AND_REPEATABLE_WRITES | SENT_ONCE, times))


def test_the_server_announces_what_the_client_sends_once() -> None:
    assert set(ANNOUNCED) == SENT_ONCE | {"Upsert"}  # of which inserts are


def expected(attempts: dict[str, int]) -> dict[str, int]:
    return {method: times * METHODS_OF_THE_CLIENT.get(method, 1) for method, times in attempts.items()}


async def attempts(noting: Any, target: str, error: type[VecgateError], *, asynchronous: bool) -> dict[str, int]:
    """Call every method, which must fail; return how often each was asked for."""
    calls = {name: call for name, call in CALLS.items() if name not in WITH_PATIENCE_OF_THEIR_OWN}
    for name, call in calls.items():
        if not asynchronous:
            with Client(target) as client, pytest.raises(error):
                next(call(client)) if name in LAZY else call(client)
        else:
            async with AsyncClient(target) as client:
                with pytest.raises(error):
                    await (anext(call(client)) if name in LAZY else call(client))
    sent = Counter(method.rpartition("/")[2] for method, _ in noting.calls)
    return {method: sent[method] for method in sent.keys() - OF_THE_CLIENT}


def told(kind: type[VecgateError], reason: str = "", retry_after: float | None = None) -> VecgateError:
    return kind("a sentence", reason=reason, retry_after=retry_after)


@pytest.mark.parametrize(
    ("error", "repeatable", "shortest"),
    [
        pytest.param(told(UnavailableError), True, 0.08, id="a-read-that-met-no-server"),
        pytest.param(told(UnavailableError), False, None, id="a-write-that-met-no-server"),
        pytest.param(told(UnavailableError, "BACKEND_UNAVAILABLE", 2.0), True, 2.08, id="a-read-not-before-its-time"),
        pytest.param(told(UnavailableError, "BACKEND_UNAVAILABLE", 2.0), False, None, id="a-write-perhaps-done"),
        pytest.param(told(UnavailableError, "STARTING", 1.0), False, 1.08, id="a-write-while-starting"),
        pytest.param(told(UnavailableError, "SHUTTING_DOWN", 1.0), False, 1.08, id="a-write-while-shutting-down"),
        pytest.param(told(ResourceExhaustedError, "ENCODER_BUSY", 0.5), False, 0.58, id="a-write-refused-for-a-time"),
        pytest.param(told(ResourceExhaustedError, "STORAGE_FULL"), True, None, id="a-bound-that-stays"),
        pytest.param(told(ResourceExhaustedError, "ENCODER_BUSY", 60.0), True, None, id="beyond-the-deadline"),
        pytest.param(told(TlsError, "TLS_UNTRUSTED"), True, None, id="no-trust"),
        pytest.param(told(DeadlineExceededError), True, None, id="out-of-time"),
        pytest.param(told(CallCancelledError), True, 0.08, id="a-read-that-came-while-the-server-stopped"),
        pytest.param(told(CallCancelledError), False, 0.08, id="a-write-that-came-while-the-server-stopped"),
        pytest.param(CallCancelledError("by vecgate", request_id="1"), True, None, id="a-read-that-was-answered"),
        pytest.param(CallCancelledError("by vecgate", request_id="1"), False, None, id="a-write-that-began"),
    ],
)
def test_the_pause_before_another_attempt(error: VecgateError, repeatable: bool, shortest: float | None) -> None:
    pause = pause_before_retry(error, pauses(lambda: 0.0), repeatable=repeatable, remaining=30.0)
    if shortest is None:
        assert pause is None
    else:
        assert pause is not None
        assert shortest - 1e-9 <= pause <= shortest + 0.05


def test_pauses_grow_and_end() -> None:
    assert list(pauses(lambda: 0.5)) == pytest.approx([0.1, 0.2, 0.4])
    assert all(0.08 <= next(pauses()) <= 0.12 for _ in range(100))
