"""Dates in metadata, which Haystack writes as ISO 8601 text, as points in time that the server can order.

Text is a date if it begins with a whole one, such as 2024-01-31 or 2024-01-31T12:00:00+02:00. Haystack compares two dates that both name a time zone as points in time; where at least one names none, it compares what
the clocks on the wall show. So a date has a wall time, and, if it names a zone, an instant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from vecgate.errors import InvalidArgumentError
from vecgate.timestamps import Timestamp

WHOLE_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt ].*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Moment:
    """A date: what a clock on the wall shows, as if in UTC, and when it is, if a time zone says so."""

    wall: Timestamp
    instant: Timestamp | None


def moment_from(value: str | datetime) -> Moment | None:
    """Read a whole date, with or without a time, in ISO 8601, or take a datetime; None: it is no date."""
    if isinstance(value, str) and not WHOLE_DATE.fullmatch(value):
        return None
    try:
        date = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        wall = Timestamp.from_datetime(date.replace(tzinfo=UTC))
        return Moment(wall, None if date.utcoffset() is None else Timestamp.from_datetime(date))
    except (ValueError, InvalidArgumentError):
        return None
