"""What traces calls, if anything does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from vecgate_server.call_clock import CallClock


class CallTracer(Protocol):
    """Puts a span around each call."""

    def around(
        self, method: str, behaviour: Callable[[Any, Any], Awaitable[Any]]
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        """Return what does the same in a span.

        Args:
            method: the full name, such as "/vecgate.v1.VectorSearchService/Search".
            behaviour: takes a request, or those of a stream, and gRPC's context.
        """

    def begin(self, clock: CallClock) -> None:
        """Have the clock of a call note its parts, if its span is recorded; called within the span."""

    def close(self) -> None:
        """Send what is left, within a bounded time; blocks."""
