"""What one caller may use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeAlias

from typing_extensions import override

from vecgate_server.calls.caller import Caller

Turn: TypeAlias = Callable[[], Awaitable[None]]
"""Waits until the next message of a stream may be read, and counts it."""


class Quotas(Protocol):
    """Bounds what each caller uses."""

    def call(self, caller: Caller) -> AbstractContextManager[object]:
        """Hold one place for the duration of a call."""

    def stream(self, caller: Caller) -> AbstractContextManager[Turn]:
        """Hold one place for the duration of a stream; the block is given what waits for the turn of each of its messages."""


class NoQuotas(Quotas):
    """Bounds nothing."""

    @override
    def call(self, caller: Caller) -> AbstractContextManager[object]:
        return nullcontext()

    @override
    def stream(self, caller: Caller) -> AbstractContextManager[Turn]:
        return nullcontext(_at_once)


async def _at_once() -> None:
    """Wait for nothing."""
