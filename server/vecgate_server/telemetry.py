"""What the server tells about itself: log records, and where the time of a call went."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Awaitable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TypeVar

from vecgate_server.config import TelemetrySettings
from vecgate_server.encoders.base import EncodeTimings

Answer = TypeVar("Answer")

OWN_PACKAGES = ("vecgate_server", "vecgate_backends")

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the call that is being answered, for its log records."""

NOTHING_ENCODED = EncodeTimings()


class CallClock:
    """Where the time of one call goes; starts with the call. All durations in nanoseconds."""

    __slots__ = ("_started", "backend_ns", "encoding", "reranking")

    def __init__(self) -> None:
        self._started = time.perf_counter_ns()
        self.backend_ns = 0
        self.encoding = NOTHING_ENCODED
        self.reranking = NOTHING_ENCODED

    @property
    def total_ns(self) -> int:
        """Since the clock was made."""
        return time.perf_counter_ns() - self._started

    async def backend(self, work: Awaitable[Answer]) -> Answer:
        """Await work of a backend and count its time."""
        before = time.perf_counter_ns()
        try:
            return await work
        finally:
            self.backend_ns += time.perf_counter_ns() - before


class JsonFormatter(logging.Formatter):
    """One JSON object a record: time (RFC 3339, UTC), level, logger, message, request_id, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the record on one line."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if identifier := request_id.get():
            fields["request_id"] = identifier
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """One line of text a record, with the request's id where there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s%(request)s")

    def format(self, record: logging.LogRecord) -> str:
        """Write the record; a traceback follows on lines of its own."""
        identifier = request_id.get()
        record.request = f" [{identifier}]" if identifier else ""
        return super().format(record)


def configure_logging(settings: TelemetrySettings) -> None:
    """Send log records to standard error as the settings say; of other people's libraries warnings only, but at debug."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    level = settings.log_level.upper()
    logging.basicConfig(level="DEBUG" if level == "DEBUG" else "WARNING", handlers=[handler], force=True)
    for package in OWN_PACKAGES:
        logging.getLogger(package).setLevel(level)
