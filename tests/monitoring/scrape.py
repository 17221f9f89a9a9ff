"""What a server tells Prometheus."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics_families
from prometheus_client.parser import text_string_to_metric_families

OPEN_METRICS = "application/openmetrics-text"
TLS_EXPIRY = "vecgate_tls_certificate_expiry_timestamp_seconds"
"""Told where there is a certificate."""
FILES_USABLE = "vecgate_security_files_usable"
"""Told where there are files of security."""


@dataclass(frozen=True)
class Scrape:
    """One answer of /metrics."""

    text: str
    families: Mapping[str, Metric]

    def labels(self) -> dict[str, set[str]]:
        """The labels that the samples of each name have."""
        found: dict[str, set[str]] = {}
        for family in self.families.values():
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
        return found

    def value(self, sample: str, **labels: str) -> float:
        """The value of the one sample of this name with exactly these labels."""
        (found,) = [
            each.value
            for family in self.families.values()
            for each in family.samples
            if (each.name, each.labels) == (sample, labels)
        ]
        return found


def metrics_address(log: Path) -> str:
    """Where a server whose log this is told that its metrics are."""
    found = re.search(r"metrics at (http://\S+)", log.read_text())
    assert found, log.read_text()
    return found[1]


def scrape(address: str, accept: str = "text/plain") -> Scrape:
    """Read the metrics at an address."""
    request = urllib.request.Request(address, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read().decode()
        assert answer.headers["Content-Type"].startswith(accept)
    parse = open_metrics_families if accept == OPEN_METRICS else text_string_to_metric_families
    return Scrape(text, {family.name: family for family in parse(text)})
