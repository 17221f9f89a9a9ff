"""Points in time as text, after RFC 3339, with up to nanoseconds: 2024-01-01T12:00:00.5+02:00."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from vecgate_backends.records import Timestamp

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # offsets are added by hand, since an aware datetime cannot leave the years 1 to 9999
_FORM = re.compile(
    r"(?P<local>\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(?P<fraction>\d{1,9}))?(?:Z|(?P<sign>[+-])(?P<hours>\d{2}):(?P<minutes>\d{2}))",
    re.ASCII,
)
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
"""0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z, the range of google.protobuf.Timestamp."""


def parse_timestamp(text: str) -> Timestamp:
    """Read a date, a time with seconds and an offset.

    Raises:
        ValueError: not of this form, no such moment (a leap second among them), or outside the years 1 to 9999 in UTC.
    """
    form = _FORM.fullmatch(text)
    if form is None:
        raise ValueError("a timestamp looks like 2024-01-31T23:59:59Z, 2024-01-31T23:59:59.123456789+02:00")
    hours, minutes = int(form["hours"] or 0), int(form["minutes"] or 0)
    if hours > 23 or minutes > 59:
        raise ValueError(f"there is no offset {form['sign']}{form['hours']}:{form['minutes']}")
    try:
        local = datetime.fromisoformat(form["local"])
    except ValueError as impossible:
        raise ValueError(f"there is no {form['local']}: {impossible}") from impossible
    offset = timedelta(hours=hours, minutes=minutes) * (-1 if form["sign"] == "-" else 1)
    seconds = (local - _EPOCH - offset) // timedelta(seconds=1)
    if not _FIRST_SECOND <= seconds <= _LAST_SECOND:
        raise ValueError("a timestamp lies between the years 1 and 9999, in UTC")
    return Timestamp(seconds, int((form["fraction"] or "").ljust(9, "0")))


def timestamp_text(timestamp: Timestamp) -> str:
    """Write a timestamp of the years 1 to 9999 in UTC, with as many digits of a second as it has."""
    moment = (_EPOCH + timedelta(seconds=timestamp.seconds)).isoformat()
    fraction = f".{timestamp.nanos:09d}".rstrip("0") if timestamp.nanos else ""
    return f"{moment}{fraction}Z"
