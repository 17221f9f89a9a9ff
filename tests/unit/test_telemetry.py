"""Log records name the call they belong to, and other people's libraries stay quiet."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from vecgate_server.config import TelemetrySettings
from vecgate_server.telemetry import (
    OWN_PACKAGES,
    CallClock,
    JsonFormatter,
    TextFormatter,
    configure_logging,
    request_id,
)


@pytest.fixture
def _restored_logging() -> Iterator[None]:
    loggers = [logging.getLogger(), *map(logging.getLogger, OWN_PACKAGES)]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("vecgate_server.app", logging.INFO, __file__, 1, message, None, None)


def test_a_text_record_is_one_line_with_the_request_s_id() -> None:
    token = request_id.set("order-66")
    try:
        line = TextFormatter().format(record("stored"))
    finally:
        request_id.reset(token)
    assert line.endswith("INFO    vecgate_server.app: stored [order-66]")
    assert TextFormatter().format(record("stored")).endswith("vecgate_server.app: stored")


def test_a_json_record_is_an_object_on_one_line() -> None:
    line = JsonFormatter().format(record("two\nlines"))
    fields = json.loads(line)
    assert "\n" not in line
    assert fields["time"].endswith("+00:00")
    assert (fields["level"], fields["logger"], fields["message"]) == ("info", "vecgate_server.app", "two\nlines")


@pytest.mark.usefixtures("_restored_logging")
def test_libraries_of_others_are_heard_from_warnings_on(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(TelemetrySettings(log_level="info"))
    logging.getLogger("somebody.else").info("chatter")
    logging.getLogger("somebody.else").warning("trouble")
    logging.getLogger("vecgate_server.app").info("serving")
    written = capsys.readouterr().err
    assert [line.rpartition(": ")[2] for line in written.splitlines()] == ["trouble", "serving"]


async def test_the_clock_adds_up_the_backend_s_time_even_when_it_fails() -> None:
    async def fails() -> None:
        raise LookupError

    clock = CallClock()
    with pytest.raises(LookupError):
        await clock.backend(fails())
    assert 0 < clock.backend_ns <= clock.total_ns
