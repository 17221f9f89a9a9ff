"""The log of slow calls: where their time went and what was asked, in figures and shapes; never texts, vectors, ids or values."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

from google.protobuf.message import Message
from typing_extensions import override

from vecgate_server.call_clock import CallClock
from vecgate_server.calls.observer import CallObserver, EndedCall
from vecgate_server.telemetry import FIELDS

log = logging.getLogger(__name__)

STREAMS = frozenset({"UpsertStream"})
"""Methods whose calls are long because their callers have much to say."""
MOST_RECORDS = 10
PERIOD_SECONDS = 10.0
LONGEST_SHAPE = 400
"""Characters of the shape of a filter."""
LONGEST_NAME = 64
"""Characters of the name of a collection; one that is longer is no name."""


class SlowCallLog(CallObserver):
    """Logs calls that took long, MOST_RECORDS in PERIOD_SECONDS at most; how many were left out is told with the next one."""

    def __init__(self, seconds: float, *, now: Callable[[], float] = monotonic) -> None:
        """Log calls of at least so many seconds; `now` tells the time in seconds."""
        self._seconds = seconds
        self._now = now
        self._period_began = now()
        self._written = self._left_out = 0

    @override
    def ended(self, call: EndedCall) -> None:
        if call.seconds >= self._seconds and call.method not in STREAMS and self._may_write():
            fields = dict(_fields(call))
            if self._left_out:
                fields["left_out"], self._left_out = self._left_out, 0
            log.warning("slow call: %s took %.3f s", call.method, call.seconds, extra={FIELDS: fields})

    def _may_write(self) -> bool:
        now = self._now()
        if now - self._period_began >= PERIOD_SECONDS:
            self._period_began, self._written = now, 0
        if self._written == MOST_RECORDS:
            self._left_out += 1
            return False
        self._written += 1
        return True


def _fields(call: EndedCall) -> Iterator[tuple[str, object]]:
    yield "method", call.method
    yield "code", call.code.name
    if call.reason:
        yield "reason", call.reason
    yield "seconds", round(call.seconds, 4)
    for part, nanoseconds in _parts(call.clock):
        if nanoseconds:
            yield f"{part}_ms", round(nanoseconds / 1e6, 2)
    if isinstance(call.request, Message):
        yield from _asked(call.request)
    if call.clock.plan:
        yield "plan", call.clock.plan


def _parts(clock: CallClock) -> Iterator[tuple[str, int]]:
    yield "queue", clock.encoding.queue_ns + clock.reranking.queue_ns
    yield "tokenize", clock.encoding.tokenize_ns + clock.reranking.tokenize_ns
    yield "encode", clock.encoding.encode_ns
    yield "backend", clock.backend_ns
    yield "rerank", clock.reranking.encode_ns


def _asked(request: Any) -> Iterator[tuple[str, object]]:
    """Tell what a request is about, from the fields that requests of the API have in common."""
    known = request.DESCRIPTOR.fields_by_name
    if "collection" in known:
        yield "collection", request.collection[:LONGEST_NAME]
    for name in ("records", "queries", "texts"):
        if name in known:
            yield name, len(getattr(request, name))
    options = request.options if "options" in known else request
    if "top_k" in options.DESCRIPTOR.fields_by_name:
        yield "top_k", options.top_k
    filtered = request.selector if "selector" in known else options
    if "filter" in filtered.DESCRIPTOR.fields_by_name and filtered.HasField("filter"):
        yield "filter", filter_shape(filtered.filter)[:LONGEST_SHAPE]


def filter_shape(node: Any) -> str:
    """Return how a filter message is built, such as "all_of(eq, in_list[12], negation(exists))", without its fields and values."""
    match node.WhichOneof("node"):
        case "all_of" | "any_of" as joined:
            return f"{joined}({', '.join(map(filter_shape, getattr(node, joined).filters))})"
        case "negation":
            return f"negation({filter_shape(node.negation)})"
        case "condition":
            test = node.condition.WhichOneof("test") or "nothing"
            return f"in_list[{len(node.condition.in_list.values)}]" if test == "in_list" else test
        case "expression":
            return f"expression[{len(node.expression)} characters]"
        case _:
            return "nothing"
