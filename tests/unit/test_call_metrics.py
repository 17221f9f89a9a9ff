"""What is refused of other services than ours is told by its reason, and makes no metric of its own."""

from __future__ import annotations

import grpc
import pytest
from prometheus_client.core import CollectorRegistry
from prometheus_client.exposition import generate_latest

from vecgate_backends.errors import ExhaustedError
from vecgate_server import errors
from vecgate_server.calls.admission import Admission
from vecgate_server.calls.caller import ANYBODY
from vecgate_server.calls.observer import EndedCall
from vecgate_server.config_limits import LimitSettings
from vecgate_server.metrics.calls import REFUSALS, CallMetrics


def test_a_refused_call_of_another_service_counts_by_its_reason_alone() -> None:
    metrics = CallMetrics(["Search"], Admission(LimitSettings(max_concurrent_calls=5), lambda: ""))
    registry = CollectorRegistry()
    registry.register(metrics)
    for method in ("GetServers", "Search"):
        metrics.ended(
            EndedCall(method, "id", "peer", ANYBODY, grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", seconds=0.1)
        )
    told = generate_latest(registry).decode().splitlines()
    assert 'vecgate_refused_calls_total{reason="UNAUTHENTICATED"} 2.0' in told
    assert 'vecgate_calls_total{code="UNAUTHENTICATED",method="Search"} 1.0' in told
    assert not any("GetServers" in line for line in told)


def test_a_fault_that_is_no_refusal_is_not_told_as_one() -> None:
    metrics = CallMetrics(["Search"], Admission(LimitSettings(max_concurrent_calls=5), lambda: ""))
    registry = CollectorRegistry()
    registry.register(metrics)
    metrics.ended(
        EndedCall("Search", "id", "peer", ANYBODY, grpc.StatusCode.NOT_FOUND, "COLLECTION_NOT_FOUND", seconds=0.1)
    )
    told = [line for line in generate_latest(registry).decode().splitlines() if "vecgate_refused_calls_total{" in line]
    assert len(told) == len(REFUSALS)
    assert all(line.endswith(" 0.0") for line in told)


BOUNDS = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, ExhaustedError)}


@pytest.mark.parametrize("reason", sorted(each.reason for each in BOUNDS - {ExhaustedError}))
def test_every_bound_that_turns_calls_away_is_counted_by_its_reason(reason: str) -> None:
    assert reason in REFUSALS
