"""When the caller stops waiting for an answer, for work that may be left out of it."""

from __future__ import annotations

import time
from contextvars import ContextVar

SHORTEST_MARGIN_SECONDS = 0.02
"""Writing an answer, the network, and a client that is busy itself take a few milliseconds each."""
LONGEST_MARGIN_SECONDS = 1.0
"""An answer is not slower for a deadline that is far away."""
MARGIN_SHARE = 0.1
"""Who gives a call more time is often farther away, or asks for more at once."""

_answer_by: ContextVar[float | None] = ContextVar("answer_by", default=None)


def set_seconds_left(seconds: float | None) -> None:
    """Say how long the caller of this call waits from now on; None: without bound."""
    _answer_by.set(None if seconds is None else time.monotonic() + seconds - margin(seconds))


def seconds_to_answer() -> float | None:
    """Return how long the answer may still take, so that it arrives in time; 0 or less: no longer. None: no bound."""
    answer_by = _answer_by.get()
    return None if answer_by is None else answer_by - time.monotonic()


def margin(seconds: float) -> float:
    """Return which part of the seconds given to a call is kept for bringing the answer back."""
    return min(max(SHORTEST_MARGIN_SECONDS, MARGIN_SHARE * seconds), LONGEST_MARGIN_SECONDS)
