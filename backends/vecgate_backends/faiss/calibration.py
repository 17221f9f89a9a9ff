"""How broad a walk of a graph must be: measured when the graph is built, since it depends on the data more than on anything else.

Real text embeddings reach a recall of 0.98 with ef 64; vectors without structure need ten times as much, or cannot be walked at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np

from vecgate_backends.faiss.scoring import nearness, squared_norms
from vecgate_backends.faiss.search import ROWS_A_STEP
from vecgate_backends.faiss.segment_file import graph_vectors
from vecgate_backends.records import FloatMatrix, Metric

QUERIES = 64
"""Vectors held back from the graph to measure with; the recall measured is right within about 0.01."""
NEIGHBOURS = 10
TARGET = 0.97
"""Recall aimed at, so that 0.95 holds for queries a little unlike the records."""
NARROWEST = 64
STEP = math.sqrt(2)
ROUNDING = 1e-5
"""Neighbours whose nearness differs by less than this share of the squared lengths count as equally near."""


def calibrated_ef(graph: Any, metric: Metric, queries: FloatMatrix) -> int:
    """Return the smallest ef at which walks find TARGET of the nearest NEIGHBOURS; if none cheaper than exact search does, all rows.

    Args:
        graph: faiss.IndexHNSWFlat that does not hold the queries.
        metric: of the collection.
        queries: in index form, shape (n, dimension), n >= 1.
    """
    vectors = graph_vectors(graph)
    wanted = min(NEIGHBOURS, len(vectors))
    exact = nearness(metric, queries, vectors, squared_norms(vectors))
    last = np.partition(exact, len(vectors) - wanted, axis=1)[:, len(vectors) - wanted]
    bound = (last - ROUNDING * (np.abs(last) + squared_norms(queries)))[:, None]
    sign = -1 if metric is Metric.EUCLIDEAN else 1
    for ef in _breadths(len(vectors)):
        parameters = faiss.SearchParametersHNSW(efSearch=ef)  # type: ignore[attr-defined]  # Faiss's stubs lack it
        found, _ = graph.search(queries, wanted, params=parameters)
        if (sign * found >= bound).mean() >= TARGET:
            return ef
    return len(vectors)  # so dear that no plan walks


def _breadths(rows: int) -> Iterator[int]:
    """Yield NARROWEST and wider ones, as long as a walk is cheaper than comparing with every row."""
    ef = float(NARROWEST)
    yield NARROWEST
    while (ef := ef * STEP) * ROWS_A_STEP < rows:
        yield round(ef)
