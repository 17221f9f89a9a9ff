"""What one caller may use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeAlias

from typing_extensions import override

from vecgate_server.calls.caller import Caller

Reader: TypeAlias = Callable[[], Awaitable[object]]
"""Reads the next message of a stream."""


class Quotas(Protocol):
    """Bounds what each caller uses."""

    def call(self, caller: Caller) -> AbstractContextManager[None]:
        """Hold one place for the duration of a call."""

    def stream(self, caller: Caller, read: Reader) -> AbstractContextManager[Reader]:
        """Hold one place for the duration of a stream; its messages are to be read by what the block is given."""


class NoQuotas(Quotas):
    """Bounds nothing."""

    @override
    def call(self, caller: Caller) -> AbstractContextManager[None]:
        return nullcontext()

    @override
    def stream(self, caller: Caller, read: Reader) -> AbstractContextManager[Reader]:
        return nullcontext(read)
