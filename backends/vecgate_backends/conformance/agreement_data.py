"""Records with filtered queries on which backends are compared: from a file of real embeddings, or clustered at random."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vecgate_backends.conformance.oracle import Float64, exact_scores
from vecgate_backends.filters import And, Compare, Eq, Filter, In, Not, Or, Order, matches
from vecgate_backends.records import FloatMatrix, Metadata, Metric

CATEGORY = "category"
"""The field that goes with the vectors: records of a category lie in one part of the space."""
PLACE = "place"
"""The field that does not: a random permutation of 0 to the number of records - 1, added to what the file holds."""


@dataclass(frozen=True, eq=False)
class AgreementData:
    """Records, queries with a filter each, and the exact answers; the metric is COSINE.

    Attributes:
        vectors: shape (records, dimension). queries: shape (queries, dimension).
        metadata: of each record: CATEGORY (text), PLACE (integer) and whatever else it has.
        filters: one a query.
        scores: exact scores of each record for each query, shape (queries, records).
        selected: whether the query's filter lets the record through, shape (queries, records).
    """

    ids: Sequence[str]
    vectors: FloatMatrix
    texts: Sequence[str]
    metadata: Sequence[Metadata]
    queries: FloatMatrix
    filters: Sequence[Filter]
    scores: Float64
    selected: NDArray[np.bool_]


@cache
def read_agreement_data(path: Path) -> AgreementData:
    """Read an .npz file: ids and texts (n,), metadata (n,) as JSON objects with a text "category", vectors (n, d), queries (m, d).

    Raises:
        KeyError: an array is missing.
    """
    with np.load(path, allow_pickle=False) as file:
        metadata = [
            {name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(row).items()}
            for row in file["metadata"].tolist()
        ]
        return _prepared(
            file["ids"].tolist(),
            np.ascontiguousarray(file["vectors"], dtype=np.float32),
            file["texts"].tolist(),
            metadata,
            np.ascontiguousarray(file["queries"], dtype=np.float32),
        )


@cache
def clustered_agreement_data(
    *, records: int = 1_000, queries: int = 60, dimension: int = 32, categories: int = 20
) -> AgreementData:
    """Build records that lie around a centre for each category, and queries that lie among them; always the same."""
    generator = np.random.default_rng(17)
    centres = generator.standard_normal((categories, dimension))
    chosen = generator.integers(0, categories, records + queries)
    points = centres[chosen] + 0.6 * generator.standard_normal((records + queries, dimension))
    vectors = np.ascontiguousarray(points / np.linalg.norm(points, axis=1, keepdims=True), dtype=np.float32)
    return _prepared(
        [f"{row:05}" for row in range(records)],
        vectors[:records],
        [f"text {row}" for row in range(records)],
        [{CATEGORY: f"c{number}"} for number in chosen[:records]],
        vectors[records:],
    )


def _prepared(
    ids: Sequence[str],
    vectors: FloatMatrix,
    texts: Sequence[str],
    metadata: Sequence[Metadata],
    queries: FloatMatrix,
) -> AgreementData:
    places = np.random.default_rng(23).permutation(len(ids)).tolist()
    rows = [{**row, PLACE: place} for row, place in zip(metadata, places, strict=True)]
    scores = np.stack([exact_scores(Metric.COSINE, query, vectors) for query in queries])
    categories = np.array([row[CATEGORY] for row in rows])
    names = np.unique(categories)
    nearness = np.stack([scores[:, categories == name].mean(axis=1) for name in names], axis=1)
    filters = [
        _filter(
            number,
            records=len(ids),
            near=str(categories[scores[number].argmax()]),
            ranked=[str(names[place]) for place in nearness[number].argsort()],
        )
        for number in range(len(queries))
    ]
    selected = np.array([[matches(node, row) for row in rows] for node in filters])
    return AgreementData(ids, vectors, texts, rows, queries, filters, scores, selected)


def _filter(number: int, *, records: int, near: str, ranked: Sequence[str]) -> Filter:
    """Build a query's filter.

    Args:
        number: of the query; every fifth filter is of the same kind.
        records: how many there are; random filters let through from one to all of them.
        near: the category of the query's nearest record.
        ranked: categories, farthest from the query first.
    """
    share = (number // 5 % 20) / 19
    count = round(records**share)
    return (
        Compare(PLACE, Order.LT, count),
        Eq(CATEGORY, near),
        In(CATEGORY, tuple(ranked[:2])),
        Not(Eq(CATEGORY, near)),
        And((Or((Eq(CATEGORY, near), Eq(CATEGORY, ranked[0]))), Compare(PLACE, Order.GTE, count // 2))),
    )[number % 5]
