"""What is told of a start, and to whom."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from vecgate_server.calls.admission import Admission
from vecgate_server.calls.caller import ANYBODY, Caller, caller
from vecgate_server.calls.name_patterns import NamePatterns
from vecgate_server.config_limits import LimitSettings
from vecgate_server.errors import StartingError


@contextmanager
def called_by(who: Caller) -> Iterator[None]:
    token = caller.set(who)
    yield
    caller.reset(token)


@pytest.mark.parametrize(
    ("who", "told"),
    [
        (ANYBODY, "the server is starting: loading collection secret-plans"),
        (Caller("all", namespace=None), "the server is starting: loading collection secret-plans"),
        (Caller("some", collections=NamePatterns(["docs-*"])), "the server is starting"),
        (Caller("tenant", namespace="acme"), "the server is starting"),
    ],
)
def test_how_far_a_start_is_is_told_to_those_who_may_see_every_collection(who: Caller, told: str) -> None:
    admission = Admission(LimitSettings(), lambda: "loading collection secret-plans")
    with called_by(who), pytest.raises(StartingError) as refused, admission.call(0):
        pass
    assert refused.value.message == told
