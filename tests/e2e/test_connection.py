"""A server that vanishes without a word is noticed, and the client goes on when it is back."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from vecgate import Client, UnavailableError, channel

FAST = {"grpc.keepalive_time_ms": 300, "grpc.keepalive_timeout_ms": 300, "grpc.http2.ping_timeout_ms": 300}
NO_MODELS: dict[str, Any] = {"backends": {"memory": {"kind": "memory"}}, "models": {"preload": []}}


def test_a_server_that_is_stopped_is_noticed_long_before_the_deadline(
    start_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = dict(channel.CHANNEL_OPTIONS)
    assert told.keys() > FAST.keys()
    monkeypatch.setattr(channel, "CHANNEL_OPTIONS", tuple((told | FAST).items()))
    server = start_server(NO_MODELS)
    with Client(server.address) as client:
        client.wait_ready()
        server.process.send_signal(signal.SIGSTOP)
        try:
            # Without pings it would be a timeout, after a minute and a half.
            with pytest.raises(UnavailableError, match="ping timeout"):
                client.delete("docs", all=True, timeout=50)
        finally:
            server.process.send_signal(signal.SIGCONT)
        client.wait_ready()
        assert client.server_info().default_backend == "memory"
