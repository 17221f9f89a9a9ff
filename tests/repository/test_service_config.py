"""The service config that other languages load does what the Python client does by itself: the same balancing, the same retries."""

from __future__ import annotations

import json
from pathlib import Path

from vecgate.channel import BACKOFF_MULTIPLIER, INITIAL_BACKOFF_S, MAX_ATTEMPTS, MAX_BACKOFF_S, SERVICE_CONFIG
from vecgate.v1 import service_pb2

SHIPPED = json.loads((Path(__file__).parents[2] / "clients/service_config.json").read_text())


CHANGES = {
    "Upsert",
    "UpsertStream",
    "UpdateMetadata",
    "Delete",
    "CreateCollection",
    "UpdateCollection",
    "DeleteCollection",
}
"""Methods that change something: gRPC cannot know whether they may be done twice."""


def test_it_balances_as_the_python_client_does() -> None:
    assert SHIPPED["loadBalancingConfig"] == json.loads(SERVICE_CONFIG)["loadBalancingConfig"]


def test_it_tries_again_as_often_and_as_late_as_the_python_client_does() -> None:
    (methods,) = SHIPPED["methodConfig"]
    assert methods["retryPolicy"] == {
        "maxAttempts": MAX_ATTEMPTS,
        "initialBackoff": f"{INITIAL_BACKOFF_S}s",
        "maxBackoff": f"{MAX_BACKOFF_S}s",
        "backoffMultiplier": BACKOFF_MULTIPLIER,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }


def test_it_names_every_method_that_changes_nothing_and_no_other() -> None:
    service = service_pb2.DESCRIPTOR.services_by_name["VectorSearchService"]
    (methods,) = SHIPPED["methodConfig"]
    assert {name["service"] for name in methods["name"]} == {service.full_name}
    assert {name["method"] for name in methods["name"]} == set(service.methods_by_name) - CHANGES
