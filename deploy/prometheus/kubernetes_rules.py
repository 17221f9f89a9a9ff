"""Write the alerts of alerts.yaml as the Prometheus operator wants them; run it after every change of theirs.

    python deploy/prometheus/kubernetes_rules.py

One file cannot be both: Prometheus refuses what is around the groups in a PrometheusRule, and kustomize puts no file into a resource.
"""

from __future__ import annotations

from pathlib import Path

import yaml

DEPLOY = Path(__file__).resolve().parents[1]
ALERTS = DEPLOY / "prometheus/alerts.yaml"
RULES = DEPLOY / "kubernetes/components/servicemonitor/rules.yaml"
HEAD = "# Written by deploy/prometheus/kubernetes_rules.py from deploy/prometheus/alerts.yaml, not by hand.\n"


def resource(alerts: str) -> str:
    """Return the PrometheusRule of a file of rules."""
    document = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "vecgate", "labels": {"app.kubernetes.io/name": "vecgate"}},
        "spec": yaml.safe_load(alerts),
    }
    return HEAD + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=140)


if __name__ == "__main__":
    RULES.write_text(resource(ALERTS.read_text()))
