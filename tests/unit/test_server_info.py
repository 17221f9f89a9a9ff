"""What GetServerInfo tells whom."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from vecgate_backends.memory import MemoryBackend, MemoryOptions
from vecgate_server.calls.caller import ANYBODY, Caller, caller
from vecgate_server.calls.name_patterns import NamePatterns
from vecgate_server.config_limits import LimitSettings
from vecgate_server.configured_backend import ConfiguredBackend
from vecgate_server.service.info import InfoHandlers

UNOPENED = ConfiguredBackend("memory", "memory", MemoryBackend(MemoryOptions()))
CAUSE = "it was not opened yet"


@pytest.mark.parametrize(
    ("who", "is_told"),
    [
        pytest.param(ANYBODY, True, id="where no keys are configured"),
        pytest.param(Caller(key="a"), True, id="a key for everything"),
        pytest.param(Caller(key="a", namespace="acme"), False, id="a key of one namespace"),
        pytest.param(Caller(key="a", collections=NamePatterns(["docs"])), False, id="a key of some collections"),
    ],
)
async def test_only_who_sees_everything_is_told_why_a_backend_does_not_work(who: Caller, is_told: bool) -> None:
    directory = SimpleNamespace(backends=[UNOPENED], default="memory")
    caller.set(who)
    told = await InfoHandlers(cast("Any", directory), "", LimitSettings()).server_info()
    (backend,) = told.backends
    assert not backend.healthy
    assert backend.detail
    assert (CAUSE in backend.detail) == is_told
