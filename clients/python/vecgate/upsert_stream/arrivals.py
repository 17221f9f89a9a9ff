"""What comes on a stream: the server's messages, then its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from vecgate.errors import VecgateError

Response = TypeVar("Response")

MOST_ARRIVALS = 256
"""Messages that wait to be looked at, at most; then the server is not read any further."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The stream ended: with an error, or as it should."""

    error: VecgateError | None


Arrival: TypeAlias = Response | Ended
