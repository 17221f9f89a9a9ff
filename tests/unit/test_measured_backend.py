"""Every operation of a backend is counted, with its time and its fault, for the backend and for the call."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import suppress

import numpy as np
import pytest

from vecgate_backends.contract import Backend, Collection, Everything, SearchOptions
from vecgate_backends.errors import BackendUnavailableError, CollectionNotFoundError
from vecgate_backends.memory import MemoryBackend
from vecgate_backends.records import CollectionSpec, Fields, Metric
from vecgate_server.call_clock import begin_clock
from vecgate_server.configured_backend import ConfiguredBackend
from vecgate_server.measured_backend import OPERATIONS, MeasuredBackend, MeasuredCollection

NOT_OPERATIONS = {"start", "close", "settle"}


@pytest.fixture
async def configured() -> ConfiguredBackend:
    configured = ConfiguredBackend("memory", "memory", MemoryBackend(MemoryBackend.Options()))
    await configured.open()
    await configured.opened.create_collection(CollectionSpec("docs", dimension=2, metric=Metric.COSINE))
    return configured


def counted(configured: ConfiguredBackend, operation: str) -> int:
    counts, _ = configured.meter.seconds[operation].read()
    return counts[-1]


async def test_operations_are_counted_by_name(configured: ConfiguredBackend) -> None:
    docs = await configured.opened.collection("docs")
    for _ in range(3):
        await docs.count("", Everything())
    await docs.search("", np.ones((1, 2), np.float32), SearchOptions(fields=Fields(text=False, metadata=False)))
    assert {name: counted(configured, name) for name in ("collection", "count", "search", "get")} == {
        "collection": 1,
        "count": 3,
        "search": 1,
        "get": 0,
    }


async def test_a_fault_is_counted_by_its_status_and_raised_as_it_was(configured: ConfiguredBackend) -> None:
    with pytest.raises(CollectionNotFoundError):
        await configured.opened.collection("nothing")
    assert configured.meter.errors["collection", "NOT_FOUND"] == 1
    assert counted(configured, "collection") == 1


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (BackendUnavailableError("away"), "UNAVAILABLE"),
        (ZeroDivisionError(), "INTERNAL"),
        (asyncio.CancelledError(), "CANCELLED"),
    ],
)
async def test_each_kind_of_fault_has_its_code(configured: ConfiguredBackend, fault: BaseException, code: str) -> None:
    async def fails() -> None:
        raise fault

    with suppress(type(fault)):
        await configured.meter.measure("search", fails())
    assert configured.meter.errors["search", code] == 1


async def test_the_time_is_that_of_the_call_too(configured: ConfiguredBackend) -> None:
    clock = begin_clock()
    clock.trace()
    await configured.meter.measure("search", asyncio.sleep(0.02))
    assert 20_000_000 <= clock.backend_ns <= clock.total_ns
    (part,) = clock.parts
    assert (part.name, part.attributes) == ("backend", {"vecgate.backend": "memory", "vecgate.operation": "search"})


def test_every_method_of_the_contract_is_measured() -> None:
    operations = {
        name
        for contract in (Backend, Collection)
        for name, method in inspect.getmembers(contract, inspect.iscoroutinefunction)
    } - NOT_OPERATIONS
    assert operations == set(OPERATIONS)
    measured = set(vars(MeasuredBackend)) | set(vars(MeasuredCollection))
    assert operations <= measured
