"""The service config that other languages load is the one that the Python client uses, and names what exists."""

from __future__ import annotations

import json
from pathlib import Path

from vecgate.channel import SERVICE_CONFIG
from vecgate.v1 import service_pb2

SHIPPED = json.loads((Path(__file__).parents[2] / "clients/service_config.json").read_text())


def test_it_is_that_of_the_python_client() -> None:
    assert json.loads(SERVICE_CONFIG) == SHIPPED


def test_it_names_methods_of_the_service() -> None:
    service = service_pb2.DESCRIPTOR.services_by_name["VectorSearchService"]
    (methods,) = SHIPPED["methodConfig"]
    assert {name["service"] for name in methods["name"]} == {service.full_name}
    assert {name["method"] for name in methods["name"]} < set(service.methods_by_name)
