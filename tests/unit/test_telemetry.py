"""Log records name the call they belong to, and other people's libraries stay quiet."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest

from vecgate_server.calls.caller import Caller, caller
from vecgate_server.config_telemetry import TelemetrySettings
from vecgate_server.telemetry import (
    OWN_PACKAGES,
    JsonFormatter,
    TextFormatter,
    configure_logging,
    request_id,
    trace_id,
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
@pytest.mark.parametrize("level", ["debug", "info"])
def test_libraries_of_others_are_heard_from_warnings_on(
    level: Literal["debug", "info"], capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(TelemetrySettings(log_level=level))
    logging.getLogger("somebody.else").debug("a header that holds a key")
    logging.getLogger("somebody.else").info("chatter")
    logging.getLogger("somebody.else").warning("trouble")
    logging.getLogger("vecgate_server.app").info("serving")
    written = capsys.readouterr().err
    assert [line.rpartition(": ")[2] for line in written.splitlines()] == ["trouble", "serving"]


async def test_a_record_names_the_call_in_its_tasks_and_threads_and_no_other_call() -> None:
    async def call(identifier: str) -> list[str]:
        request_id.set(identifier)
        trace_id.set("ab" * 16)
        caller.set(Caller("key-1"))

        async def part() -> str:
            return JsonFormatter().format(record("in a task"))

        return [
            await asyncio.create_task(part()),
            await asyncio.to_thread(JsonFormatter().format, record("in a thread")),
        ]

    told = await asyncio.gather(*(asyncio.create_task(call(each)) for each in ("one", "two")))
    for identifier, lines in zip(("one", "two"), told, strict=True):
        for line in lines:
            fields = json.loads(line)
            assert (fields["request_id"], fields["trace_id"], fields["key"]) == (identifier, "ab" * 16, "key-1")
    assert "request_id" not in json.loads(JsonFormatter().format(record("of no call")))


def test_fields_of_a_record_are_those_of_the_object_and_follow_the_text() -> None:
    told = record("slow")
    told.fields = {"queue_ms": 4.5, "filter": "eq"}
    assert json.loads(JsonFormatter().format(told))["queue_ms"] == 4.5
    assert TextFormatter().format(told).endswith("slow queue_ms=4.5 filter=eq")


def test_what_a_caller_wrote_begins_no_line_of_its_own() -> None:
    record = logging.LogRecord("a", logging.INFO, "", 0, "made by %s", ("x\nERROR\x1b[31m\u2028y",), None)
    assert TextFormatter().format(record).endswith(r"made by x\nERROR\x1b[31m\u2028y")
