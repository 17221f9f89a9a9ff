"""Who makes a call."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever makes a call, as far as it is known.

    Attributes:
        key: the public id of the API key that the call carries; "" for a call without one.
    """

    key: str = ""


ANYBODY = Caller()
"""Where no keys are configured."""

caller: ContextVar[Caller] = ContextVar("caller", default=ANYBODY)
"""Who makes the call that is being answered."""
