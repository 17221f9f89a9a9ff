"""How much one key may use, by its own entry or by the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, TypeVar

from vecgate_server.calls.caller import Caller
from vecgate_server.config_limits import LimitSettings

Figure = TypeVar("Figure", int, float)


@dataclass(frozen=True, slots=True)
class Allotment:
    """What the callers with one key may use together; 0 is no limit.

    Attributes:
        calls: calls in hand at once, streams left out.
        streams: open streams.
        requests_per_second: calls, and messages of streams.
        tokens_per_second: tokens that models read for them.
    """

    calls: int
    streams: int
    requests_per_second: float
    tokens_per_second: float

    @classmethod
    def of(cls, caller: Caller, limits: LimitSettings) -> Self:
        """Find what a caller may use: what its key's entry says, else what the settings say."""
        return cls(
            calls=_first(caller.max_calls, limits.max_calls_per_key),
            streams=limits.max_streams_per_key,
            requests_per_second=_first(caller.requests_per_second, limits.requests_per_second_per_key),
            tokens_per_second=_first(caller.tokens_per_second, limits.tokens_per_second_per_key),
        )


def _first(own: Figure | None, general: Figure) -> Figure:
    return general if own is None else own
