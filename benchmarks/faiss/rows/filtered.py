"""Filtered searches, at random and in the way of the vectors: what is found, and how fast beside unfiltered ones."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from benchmarks.faiss.bench import (
    COLLECTION,
    SHARES,
    TOP_K,
    Bench,
    exact_ids,
    explained,
    nearness_ranks,
    recall,
    shares,
)
from benchmarks.faiss.callers import call_for, search_requests
from benchmarks.faiss.rows.search import found_ids
from benchmarks.result import Measured, Row, Verdict, at_least, figure
from benchmarks.statistics import ratios
from vecgate import IDS_ONLY, Client, field
from vecgate.wire.search import options_message

CALLERS = 16
SELECTIVITIES = (0.0001, 0.01, 0.1, 0.5)
LEAST_RATE = {0.1: 0.2}
USUAL_RATE = 0.4


def measure(bench: Bench) -> Measured:
    """For each filter: the recall of the answers, then its rate and the unfiltered one in turns."""
    queries = bench.vectors.queries[: bench.scale.recall_queries]
    rows = range(bench.scale.records)
    columns = {"random": shares(rows), "near": nearness_ranks(bench.vectors, rows)}
    rates: dict[str, list[float]] = defaultdict(list)
    recalls: dict[str, float] = {}
    plans: list[str] = []
    with bench.filled_server() as server, server.client() as client:
        unfiltered = search_requests(COLLECTION, bench.vectors.queries)
        for kind, column in columns.items():
            for selectivity in SELECTIVITIES:
                name = f"{kind}, {selectivity:.2%}"
                bound = max(1, round(selectivity * SHARES))
                chosen = field(kind) < bound
                wanted = exact_ids(bench.vectors.records, queries, column < bound)
                recalls[name] = recall(found_ids(client, queries, chosen), wanted)
                plans.append(f"{name}: {_plan(client, kind, bound)}")
                requests = search_requests(
                    COLLECTION, bench.vectors.queries, options_message(columns=True, filter=chosen, top_k=TOP_K)
                )
                for _ in range(max(1, bench.scale.rounds // 2)):
                    for label, asked in ((name, requests), (f"beside {name}", unfiltered)):
                        calls = call_for(
                            server.address, "Search", asked, callers=CALLERS, seconds=bench.scale.seconds / 2
                        )
                        rates[label].append(calls.rate)
        segments = dict(explained(client))
    return Measured(
        figures=tuple(figure(f"{name}, {CALLERS} callers", "queries/s", rates[name]) for name in recalls),
        verdicts=tuple(_verdicts(recalls, rates)),
        notes=(f"{len(rows)} records; {segments}", *plans),
    )


def _verdicts(recalls: dict[str, float], rates: dict[str, list[float]]) -> list[Verdict]:
    found = []
    for name, value in recalls.items():
        selectivity = float(name.split(", ")[1].rstrip("%")) / 100
        found.append(at_least(f"{name}: recall@{TOP_K}", "share", [value], 0.95))
        found.append(
            at_least(
                f"{name}: rate beside unfiltered",
                "x",
                ratios(rates[name], rates[f"beside {name}"]),
                LEAST_RATE.get(selectivity, USUAL_RATE),
            )
        )
    return found


def _plan(client: Client, kind: str, bound: int) -> str:
    query = np.zeros(384, np.float32)
    query[0] = 1
    result = client.search(COLLECTION, query, fields=IDS_ONLY, explain=True, filter=field(kind) < bound)
    assert result.explanation is not None
    return result.explanation.plan


ROW = Row("filtered", "filtered searches, random and correlated with the vectors", measure)
