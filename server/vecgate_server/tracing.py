"""Traces of calls through OpenTelemetry's own instrumentation of gRPC, sent over OTLP.

Imported where traces are configured, and nowhere else. Whether a call is sampled is decided before the instrumentation sees it, by the rule of
a parent-based sampler with a ratio: what it does for a call that is not costs a tenth of the cheapest call. The span of a call is the instrumentation's;
what is in it is made from the call's clock when the call has ended.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from random import random
from threading import Timer
from typing import Any, cast

import grpc
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.grpc import aio_server_interceptor
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from typing_extensions import override

from vecgate_backends.errors import ConfigurationError
from vecgate_server.call_clock import CallClock
from vecgate_server.calls.observer import CallObserver, EndedCall
from vecgate_server.calls.tracer import CallTracer
from vecgate_server.config_telemetry import TraceSettings
from vecgate_server.telemetry import trace_id

log = logging.getLogger(__name__)

STATUS_CODE = "rpc.grpc.status_code"
"""Of the semantic conventions for gRPC; the instrumentation does not set it where a call is cancelled."""
EXPORT_SECONDS = 10.0
CLOSE_SECONDS = 2.0
"""For the last spans, when the server ends."""
Behaviour = Callable[[Any, Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class _CallDetails:
    """What the instrumentation asks gRPC for, of a method; the metadata of each call it reads from the call."""

    method: str
    invocation_metadata: Sequence[Any] = ()


class OtlpTracer(CallTracer, CallObserver):
    """Traces the calls of one server; see CallTracer."""

    def __init__(self, settings: TraceSettings, exporter: SpanExporter | None = None) -> None:
        """Begin to export; a collector that is away is tried again, and calls never wait for it.

        Args:
            settings: where to, and of how many calls.
            exporter: takes the spans in the place of the settings' endpoint.

        Raises:
            ConfigurationError: the file of headers cannot be read.
        """
        self._exporter = exporter or OTLPSpanExporter(
            endpoint=settings.endpoint, headers=_headers(settings), timeout=EXPORT_SECONDS
        )
        self._ratio = settings.sample_ratio
        self._carried = frozenset(propagate.get_global_textmap().fields)
        # Not the library's global provider: the spans are the server's own, whatever a library in this process does.
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,  # of the calls that come so far
            resource=Resource.create({SERVICE_NAME: settings.service_name, SERVICE_VERSION: version("vecgate")}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("vecgate", version("vecgate"))
        self._interceptor = cast("Any", aio_server_interceptor)(tracer_provider=self._provider)

    @override
    def around(self, method: str, behaviour: Behaviour) -> Behaviour:
        # An interceptor wraps a method's handler at each call, although it makes the same of it each time; here it does so once. To the
        # instrumentation every behaviour is one that is awaited, also that of a stream, which reads and writes by itself.
        handler: Any = grpc.unary_unary_rpc_method_handler(cast("Any", behaviour))

        async def found(_: object) -> Any:
            return handler

        wrapping = self._interceptor.intercept_service(found, _CallDetails(method))
        try:
            wrapping.send(None)
        except StopIteration as done:
            return self._for_sampled(cast("Behaviour", done.value.unary_unary), behaviour)
        raise RuntimeError("the instrumentation of gRPC waits for something while it wraps a method")

    def _for_sampled(self, traced: Behaviour, plain: Behaviour) -> Behaviour:
        async def answer(request: Any, context: Any) -> Any:
            behaviour = traced if self._samples(context.invocation_metadata() or ()) else plain
            return await behaviour(request, context)

        return answer

    def _samples(self, metadata: Sequence[tuple[str, str | bytes]]) -> bool:
        """Whether a call is traced: as its caller decided, else by the ratio."""
        carried = {key: value for key, value in metadata if key in self._carried}
        if carried:
            parent = trace.get_current_span(propagate.extract(carried)).get_span_context()
            if parent.is_valid:
                return parent.trace_flags.sampled
        return random() < self._ratio  # noqa: S311  # it guards nothing

    @override
    def begin(self, clock: CallClock) -> None:
        span = trace.get_current_span()
        if span.is_recording():
            trace_id.set(trace.format_trace_id(span.get_span_context().trace_id))
            clock.trace()

    @override
    def ended(self, call: EndedCall) -> None:
        span = trace.get_current_span()
        if not span.is_recording():
            return
        span.set_attribute("vecgate.request_id", call.request_id)
        span.set_attribute(STATUS_CODE, call.code.value[0])
        for name, value in (("vecgate.reason", call.reason), ("vecgate.key", call.caller.key)):
            if value:
                span.set_attribute(name, value)
        for part in call.clock.parts:
            child = self._tracer.start_span(part.name, start_time=part.begin_ns, attributes=part.attributes)
            child.end(part.end_ns)
        if call.clock.parts_left_out:
            span.set_attribute("vecgate.parts_left_out", call.clock.parts_left_out)

    @override
    def close(self) -> None:
        # To a collector that is away it would try again and again.
        giving_up = Timer(CLOSE_SECONDS, self._exporter.shutdown)
        giving_up.start()
        self._provider.shutdown()
        giving_up.cancel()


def _headers(settings: TraceSettings) -> dict[str, str]:
    headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
    if settings.headers_file is None:
        return headers
    try:
        lines = settings.headers_file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else "it is no text in UTF-8"
        raise ConfigurationError(
            f"telemetry.traces.headers_file: {settings.headers_file} cannot be read: {reason}"
        ) from None
    for number, line in enumerate(lines, 1):
        name, colon, value = line.partition(":")
        if not line.strip():
            continue
        if not (colon and name.strip() and value.strip()):
            raise ConfigurationError(
                f"telemetry.traces.headers_file: line {number} of {settings.headers_file} is not of the form name: value"
            )
        headers[name.strip().lower()] = value.strip()
    return headers
