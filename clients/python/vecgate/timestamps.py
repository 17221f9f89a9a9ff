"""Points in time, to the nanosecond."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from vecgate.errors import InvalidArgumentError

RFC_3339 = re.compile(
    r"(?P<whole>\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.(?P<decimals>\d{1,9}))?(?P<zone>[Zz]|[+-]\d\d:\d\d)"
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_SECOND = -62_135_596_800
"""0001-01-01T00:00:00Z, the first second that google.protobuf.Timestamp and datetime know."""
LAST_SECOND = 253_402_300_799
"""9999-12-31T23:59:59Z, the last one."""


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """A point in time: seconds since 1970-01-01T00:00:00Z (negative before) and 0 to 999,999,999 nanoseconds after them.

    This is the type in which metadata comes back, since a datetime would lose nanoseconds.

    Raises:
        InvalidArgumentError: the time lies outside of the years 1 to 9999, or `nanos` outside of its range.
    """

    seconds: int
    nanos: int = 0

    def __post_init__(self) -> None:
        if not FIRST_SECOND <= self.seconds <= LAST_SECOND:
            raise InvalidArgumentError.at("seconds", f"{self.seconds} lies outside of the years 1 to 9999")
        if not 0 <= self.nanos < 10**9:
            raise InvalidArgumentError.at("nanos", f"{self.nanos} is not within 0 to 999,999,999")

    @classmethod
    def from_datetime(cls, moment: datetime) -> Self:
        """Convert an aware datetime, exactly.

        Raises:
            InvalidArgumentError: `moment` is naive, so that it names no point in time.
        """
        if moment.utcoffset() is None:
            raise InvalidArgumentError.at(
                "datetime", f"{moment.isoformat()} has no time zone; add one, such as tzinfo=datetime.UTC"
            )
        since_epoch = moment - EPOCH
        # A pandas Timestamp is a datetime with nanoseconds beside its microseconds.
        nanos = since_epoch.microseconds * 1_000 + getattr(moment, "nanosecond", 0)
        return cls(since_epoch.days * 86_400 + since_epoch.seconds, nanos)

    @classmethod
    def from_rfc3339(cls, text: str) -> Self:
        """Read RFC 3339, such as "2020-01-02T03:04:05.000000006Z", with up to nine decimals, exactly.

        Raises:
            InvalidArgumentError: it is something else, or has no time zone.
        """
        parts = RFC_3339.fullmatch(text)
        if parts is None:
            raise InvalidArgumentError.at("timestamp", f"{text!r} is not of the form 2020-01-02T03:04:05Z")
        try:
            whole = cls.from_datetime(datetime.fromisoformat(parts["whole"] + parts["zone"]))
        except (ValueError, OverflowError) as error:
            raise InvalidArgumentError.at("timestamp", f"{text!r} is not RFC 3339: {error}") from error
        return cls(whole.seconds, int((parts["decimals"] or "0").ljust(9, "0")))

    def to_datetime(self) -> datetime:
        """Return the time in UTC; what lies below a microsecond is cut off."""
        return EPOCH + timedelta(seconds=self.seconds, microseconds=self.nanos // 1_000)

    def __str__(self) -> str:
        """Return RFC 3339 with as many decimals as are needed: "2020-01-02T03:04:05.000000006Z"."""
        whole = (EPOCH + timedelta(seconds=self.seconds)).replace(tzinfo=None).isoformat()
        decimals = f".{self.nanos:09d}".rstrip("0") if self.nanos else ""
        return f"{whole}{decimals}Z"
