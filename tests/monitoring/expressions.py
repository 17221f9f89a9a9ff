"""The expressions of the dashboard and of the alerts, and the metrics and labels that each asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = DEPLOY / "grafana/vecgate.json"
ALERTS = DEPLOY / "prometheus/alerts.yaml"
# Grafana replaces them before Prometheus sees them.
INTERVALS = re.compile(r"\$__(rate_)?interval")
OF_PROMETHEUS = frozenset({"job", "instance"})
"""Labels that every scrape gets."""


class Named(NamedTuple):
    """A metric and a label that an expression asks of it; "" for the metric alone."""

    metric: str
    label: str


def dashboard() -> Any:
    """The dashboard, as Grafana reads it."""
    return json.loads(DASHBOARD.read_text())


def alerts() -> list[Any]:
    """The rules of all groups."""
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def expressions() -> dict[str, str]:
    """Every expression, by where it stands."""
    found = {
        f"panel {panel['title']!r} {target['refId']}": target["expr"]
        for panel in dashboard()["panels"]
        for target in panel.get("targets", ())
    }
    return found | {f"alert {rule['alert']}": rule["expr"] for rule in alerts()}


def named(expression: str) -> set[Named]:
    """The metrics and labels of an expression: those that select, and those that are grouped by.

    Raises:
        ValueError: it is no PromQL.
    """
    return set(_named(promql_parser.parse(INTERVALS.sub("5m", expression))))


def _named(node: Any) -> Iterator[Named]:
    metrics = list(_selectors(node))
    for selector in metrics:
        yield Named(selector.name, "")
        for matcher in selector.matchers.matchers:
            yield Named(selector.name, matcher.name)
    for labels, below in _groupings(node):
        for selector in _selectors(below):
            for label in labels:
                yield Named(selector.name, label)


def _selectors(node: Any) -> Iterator[Any]:
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    elif isinstance(node, promql_parser.MatrixSelector):
        yield node.vector_selector
    for below in _below(node):
        yield from _selectors(below)


def _groupings(node: Any) -> Iterator[tuple[list[str], Any]]:
    if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
        yield list(node.modifier.labels), node.expr
    for below in _below(node):
        yield from _groupings(below)


def _below(node: Any) -> Iterator[Any]:
    match node:
        case promql_parser.BinaryExpr():
            yield from (node.lhs, node.rhs)
        case promql_parser.Call():
            yield from node.args
        case (
            promql_parser.AggregateExpr()
            | promql_parser.ParenExpr()
            | promql_parser.UnaryExpr()
            | promql_parser.SubqueryExpr()
        ):
            yield node.expr
