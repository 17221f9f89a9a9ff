"""What one caller may use."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from typing_extensions import override

from vecgate_server.calls.caller import Caller


class Quotas(Protocol):
    """Bounds what each caller uses."""

    def call(self, caller: Caller, method: str) -> AbstractContextManager[None]:
        """Hold one place for the duration of a call."""


class NoQuotas(Quotas):
    """Bounds nothing."""

    @override
    def call(self, caller: Caller, method: str) -> AbstractContextManager[None]:
        return nullcontext()
