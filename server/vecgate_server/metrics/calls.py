"""Figures of calls: how many, how they ended, how long they took, and what is under way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import grpc
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from vecgate_backends.distribution import Distribution
from vecgate_server.calls.admission import Admission
from vecgate_server.calls.observer import CallObserver, EndedCall
from vecgate_server.metrics.families import histogram
from vecgate_server.status import STATUS_CODES

SECONDS_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
CODES = (
    grpc.StatusCode.OK,
    *STATUS_CODES.values(),
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)
"""How a call may end. All are counted as 0 from the start, so that the first of each is seen as an increase."""
REFUSALS = (
    *("UNAUTHENTICATED", "PERMISSION_DENIED", "TOO_MANY_FAILED_KEYS"),
    *("KEY_CALLS_EXCEEDED", "KEY_RATE_EXCEEDED", "KEY_TOKENS_EXCEEDED"),
    *(
        "TOO_MANY_CALLS",
        "TOO_MANY_STREAMS",
        "TOO_MANY_BYTES",
        "ANSWERS_UNREAD",
        "ENCODER_BUSY",
        "STARTING",
        "SHUTTING_DOWN",
    ),
    *("REQUEST_TOO_LARGE", "RESPONSE_TOO_LARGE", "LIMIT_EXCEEDED"),
)
"""Reasons of errors by which a call is turned away for who makes it, for how much it asks, or for what the server is busy with."""


class CallMetrics(CallObserver, Collector):
    """Counts calls as they end; labels are methods, codes and reasons of ours, never what a caller sends."""

    def __init__(self, methods: Sequence[str], admission: Admission) -> None:
        """Begin with nothing counted.

        Args:
            methods: of the service, each known from the start.
            admission: tells the calls in hand and the open streams.
        """
        self._admission = admission
        self._ended = Counter({(method, code): 0 for method in methods for code in CODES})
        self._seconds = {method: Distribution(SECONDS_BOUNDS) for method in methods}
        self._received = dict.fromkeys(methods, 0)
        self._sent = dict.fromkeys(methods, 0)
        self._refused = Counter(dict.fromkeys(REFUSALS, 0))

    @override
    def ended(self, call: EndedCall) -> None:
        # Of reflection and channelz what is refused is told too.
        if call.method in self._seconds:
            self._ended[call.method, call.code] += 1
            self._seconds[call.method].add(call.seconds)
            self._received[call.method] += call.received_bytes
            self._sent[call.method] += call.sent_bytes
        if call.reason in self._refused:
            self._refused[call.reason] += 1

    @override
    def collect(self) -> Iterator[Metric]:
        calls = CounterMetricFamily("vecgate_calls", "Calls that ended.", labels=["method", "code"])
        for (method, code), count in self._ended.copy().items():
            calls.add_metric([method, code.name], count)
        yield calls
        yield histogram(
            "vecgate_call_seconds",
            "Time from the begin of a call to its end.",
            ["method"],
            (((method,), seconds) for method, seconds in self._seconds.items()),
        )
        for name, documentation, counted in (
            ("vecgate_call_received_bytes", "Bytes of the messages of calls that ended.", self._received),
            ("vecgate_call_sent_bytes", "Bytes of the answers of calls that ended.", self._sent),
        ):
            family = CounterMetricFamily(name, documentation, labels=["method"])
            for method, count in counted.items():
                family.add_metric([method], count)
            yield family
        refused = CounterMetricFamily("vecgate_refused_calls", "Calls turned away, by reason.", labels=["reason"])
        for reason, count in self._refused.copy().items():
            refused.add_metric([reason], count)
        yield refused
        for name, documentation, value in (
            ("vecgate_calls_in_hand", "Calls under way, streams left out.", self._admission.calls),
            ("vecgate_calls_limit", "Calls that may be under way at once.", self._admission.limit),
            ("vecgate_streams_open", "UpsertStreams under way.", self._admission.streams),
        ):
            yield GaugeMetricFamily(name, documentation, value=value)
