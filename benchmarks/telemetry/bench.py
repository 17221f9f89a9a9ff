"""Servers that differ in nothing but what watches them, and the processor time that each spends on a call."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import grpc.aio
import numpy as np
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from benchmarks.server import ServerProcess
from vecgate.v1.collection_pb2 import CreateCollectionRequest, Unbound
from vecgate.v1.record_pb2 import Record
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate.v1.vector_pb2 import Vector
from vecgate.v1.write_pb2 import UpsertRequest

DIMENSION = 384
COLLECTION = "docs"
BATCH = 1_000
CALLERS = 4
WARM_UP = 1_000
METRICS: Mapping[str, Any] = {"metrics_port": 0}
WAYS = ("off", "metrics", "metrics, 1 % traced", "metrics, all traced")
"""How a server is watched."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Attributes:
        records: of the collection. rounds: turns of each server. calls: of a turn.
    """

    records: int = 10_000
    rounds: int = 40
    calls: int = 300


FULL = Scale()
QUICK = Scale(records=1_000, rounds=2, calls=100)


@dataclass(frozen=True, slots=True)
class Bench:
    """The setting of a run; `work` is a folder for what is made, gone after the run."""

    scale: Scale
    work: Path


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes spans and counts them."""

    def __init__(self) -> None:
        self.spans = 0

    def Export(  # noqa: N802  # the service's name
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: Any
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        del context
        self.spans += sum(len(scope.spans) for each in request.resource_spans for scope in each.scope_spans)
        return trace_service_pb2.ExportTraceServiceResponse()


@dataclass(frozen=True, slots=True)
class Watched:
    """A server, and how to ask it."""

    server: ServerProcess
    stub: Any

    def cpu_ns(self) -> int:
        """Processor time of the process since its start, in nanoseconds, threads that have ended included."""
        # The clock of another process, by the formula of Linux (include/linux/posix-timers_types.h), which libc has as a function.
        return time.clock_gettime_ns((~self.server.process.pid << 3) | 2)


Ask = Callable[[Any, int], Any]
"""Makes the call of a number with a stub."""


async def microseconds_a_call(watched: Watched, ask: Ask, calls: int) -> float:
    """Make calls, CALLERS at a time, and return the processor time of the server for each."""

    async def caller(first: int) -> None:
        for number in range(first, calls, CALLERS):
            await ask(watched.stub, number)

    before = watched.cpu_ns()
    await asyncio.gather(*(caller(first) for first in range(CALLERS)))
    return (watched.cpu_ns() - before) / calls / 1000


def vectors(count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Make vectors, shape (count, DIMENSION), the same in every run."""
    return np.random.default_rng(7).standard_normal((count, DIMENSION), np.float32)


def wire(vector: Any) -> Vector:
    """Write a vector of shape (DIMENSION,)."""
    return Vector(packed=vector.astype("<f4").tobytes())


@asynccontextmanager
async def servers(bench: Bench) -> AsyncIterator[tuple[Mapping[str, Watched], Collector]]:
    """Start a server for each of WAYS, with the same records, and a collector that takes their traces."""
    collector = Collector()
    collecting = grpc.server(ThreadPoolExecutor(2))
    add: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    add(collector, collecting)
    endpoint = f"http://127.0.0.1:{collecting.add_insecure_port('127.0.0.1:0')}"
    collecting.start()
    telemetry: Sequence[Mapping[str, Any]] = (
        {},
        METRICS,
        {**METRICS, "traces": {"endpoint": endpoint, "sample_ratio": 0.01}},
        {**METRICS, "traces": {"endpoint": endpoint, "sample_ratio": 1.0}},
    )
    async with AsyncExitStack() as stack:
        stack.callback(collecting.stop, None)
        started = {}
        for way, told in zip(WAYS, telemetry, strict=True):
            folder = Path(mkdtemp(dir=bench.work))
            settings = {"server": {"port": 0}, "models": {"preload": []}, "telemetry": told}
            server = stack.enter_context(ServerProcess(folder, settings))
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(server.address))
            started[way] = Watched(server, VectorSearchServiceStub(channel))
            await _fill(started[way].stub, bench.scale.records)
        gc.collect()
        yield started, collector


async def _fill(stub: Any, records: int) -> None:
    await stub.CreateCollection(CreateCollectionRequest(name=COLLECTION, unbound=Unbound(dimension=DIMENSION)))
    rows = vectors(records)
    for begin in range(0, records, BATCH):
        batch = [
            Record(id=str(begin + row), vector=wire(vector)) for row, vector in enumerate(rows[begin : begin + BATCH])
        ]
        await stub.Upsert(UpsertRequest(collection=COLLECTION, records=batch))
