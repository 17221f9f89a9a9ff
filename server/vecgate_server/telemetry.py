"""Log records, on standard error: each of a call names the call."""

from __future__ import annotations

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

from vecgate_server.calls.caller import caller
from vecgate_server.config_telemetry import TelemetrySettings

OWN_PACKAGES = ("vecgate_server", "vecgate_backends")
FIELDS = "fields"
"""Of a record, given as `extra`: what a program may want to read of it, by name."""

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the call that is being answered, for its log records."""
trace_id: ContextVar[str] = ContextVar("trace_id", default="")
"""Of the trace that it belongs to, 32 hexadecimal digits; "" if it is not recorded."""


class JsonFormatter(logging.Formatter):
    """One JSON object a record: time (RFC 3339, UTC), level, logger, message, request_id, trace_id, key, exception, and its fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the record on one line."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_of_the_call(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class TextFormatter(logging.Formatter):
    """One line of text a record, with its fields, and with what names the call where there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s%(beside)s")

    def format(self, record: logging.LogRecord) -> str:
        """Write the record; a traceback follows on lines of its own."""
        told = "".join(f" {name}={value}" for name, value in getattr(record, FIELDS, {}).items())
        call = " ".join(_of_the_call().values())
        record.beside = f"{told} [{call}]" if call else told
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's own name
        """Write the line, with control characters escaped: what a caller wrote begins no line of its own and steers no terminal."""
        return _CONTROL.sub(lambda found: ascii(found.group())[1:-1], super().formatMessage(record))


def configure_logging(settings: TelemetrySettings) -> None:
    """Send log records to standard error as the settings say; of other people's libraries warnings only, whatever the level.

    At debug some of them write what they send, headers with keys too (hpack does).
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    level = settings.log_level.upper()
    logging.basicConfig(level="WARNING", handlers=[handler], force=True)
    for package in OWN_PACKAGES:
        logging.getLogger(package).setLevel(level)


def _of_the_call() -> dict[str, str]:
    """Return what names the call that is being answered, as far as there is something."""
    names = {"request_id": request_id.get(), "trace_id": trace_id.get(), "key": caller.get().key}
    return {name: value for name, value in names.items() if value}
