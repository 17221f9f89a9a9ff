"""What gRPC drops has its stream reset; a server that had begun a write has announced it before, on the same connection."""

from __future__ import annotations

import pytest
from hostile.reset_server import REQUEST_ID, ResetServer

from vecgate import AsyncClient, CallCancelledError, Client, channel
from vecgate.channel import MAX_ATTEMPTS

CASES = [
    pytest.param(False, MAX_ATTEMPTS, None, id="dropped"),
    pytest.param(True, 1, REQUEST_ID, id="begun"),
]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "INITIAL_BACKOFF_S", 0.001)


@pytest.mark.parametrize(("announced", "attempts", "request_id"), CASES)
def test_a_delete_is_sent_again_unless_it_had_begun(announced: bool, attempts: int, request_id: str | None) -> None:
    with ResetServer(announced=announced) as server, Client(server.target) as client:
        with pytest.raises(CallCancelledError) as told:
            client.delete("docs", ids=["a"])
        assert (server.calls, told.value.request_id) == (attempts, request_id)


@pytest.mark.parametrize(("announced", "attempts", "request_id"), CASES)
async def test_the_asynchronous_client_does_so_too(announced: bool, attempts: int, request_id: str | None) -> None:
    with ResetServer(announced=announced) as server:
        async with AsyncClient(server.target) as client:
            with pytest.raises(CallCancelledError) as told:
                await client.delete("docs", ids=["a"])
        assert (server.calls, told.value.request_id) == (attempts, request_id)
