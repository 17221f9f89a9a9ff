"""What a caller reads from an error, and the tables of the documents that say so: each row is held by a test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import grpc
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo

from vecgate_backends.errors import VecgateError
from vecgate_server.status import status_message

DOCUMENTS = Path(__file__).parents[1] / "docs"
NAMED_SECONDS = 30.0
"""When a vendor says to come back, in these tests."""
_RETRIES = {None: "no", 1.0: "after 1 s", NAMED_SECONDS: "after the time it names"}

Row: TypeAlias = tuple[str, str, str, str]
"""Whether it is tried again here, and what the caller is told: status, reason, whether to retry."""
UNNOTICED: Row = ("yes", "none, it then works", "", "")
BY_RECORD: Row = ("as above", "OK", "of each record that failed, as above", "as above")


@dataclass(frozen=True)
class Told:
    """What a client of the server reads: status, reason, seconds after which to come back; None: no use in it."""

    code: grpc.StatusCode
    reason: str
    retry_after: float | None

    def row(self, tried_again: str) -> Row:
        """Return the row of a document that says so."""
        return tried_again, self.code.name, f"`{self.reason}`", _RETRIES[self.retry_after]


AWAY = Told(grpc.StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE", 1.0)
NO_USE = Told(grpc.StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE", None)
NOT_SO_SOON = Told(grpc.StatusCode.RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED", NAMED_SECONDS)
TOO_OFTEN = Told(grpc.StatusCode.RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED", 1.0)
NOT_SO = Told(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", None)


def told_of(error: VecgateError) -> Told:
    """Return what a client of the server reads from an error."""
    status = status_message(error)
    reason, retry = ErrorInfo(), RetryInfo()
    seconds = None
    for detail in status.details:
        detail.Unpack(reason)
        if detail.Unpack(retry):
            seconds = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    (code,) = [code for code in grpc.StatusCode if code.value[0] == status.code]
    return Told(code, reason.reason, seconds)


def documented(page: str, first_heading: str) -> dict[str, Row]:
    """Return the rows of the table of a page in `docs` whose first column has this heading, by what happens."""
    lines = (DOCUMENTS / page).read_text().splitlines()
    (start,) = [number for number, line in enumerate(lines) if line.startswith(f"| {first_heading} |")]
    rows: dict[str, Row] = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        happens, tried_again, status, reason, retry = (cell.strip() for cell in line.strip("|").split("|"))
        rows[happens] = (tried_again, status, reason, retry)
    return rows
