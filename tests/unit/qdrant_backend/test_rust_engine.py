"""What the backend relies on, tried on the engine of a Qdrant server itself, which runs in process as qdrant-edge-py.

The emulated server has another engine behind it, and where the two differ docs/backends.md says so.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from qdrant_client import models

from vecgate_backends.conformance.filters import MEANINGS, VALUES
from vecgate_backends.conformance.material import EXTREME_VALUES, random_vectors, typed
from vecgate_backends.conformance.oracle import exact_scores, tolerances
from vecgate_backends.conformance.strategies import FIELDS, LISTS, SCALARS, filters
from vecgate_backends.filters import Eq, Filter, Not, matches
from vecgate_backends.qdrant.filter_translation import field_indexes, in_namespace, translate
from vecgate_backends.qdrant.payload import ID, NAMESPACE, decode_metadata, encode_changes, encode_metadata
from vecgate_backends.qdrant.vectors import DISTANCES, imprecise, inner_products, scores_of, stored_vectors
from vecgate_backends.records import FloatMatrix, Metadata, Metric

edge = pytest.importorskip("qdrant_edge", reason="qdrant-edge-py is not installed")

OWN = "0123456789ab:"
SIZE = 6


class Shard:
    """A shard of the engine in a directory, closed and opened again at will."""

    def __init__(self, directory: Path, distance: str = "Dot") -> None:
        self._directory = str(directory)
        config = edge.EdgeConfig(vectors=edge.EdgeVectorParams(size=SIZE, distance=getattr(edge.Distance, distance)))
        self.shard = edge.EdgeShard.create(self._directory, config)

    def store(self, rows: dict[str, Metadata], vectors: FloatMatrix | None = None) -> None:
        vectors = random_vectors(len(rows), SIZE) if vectors is None else vectors
        points = [
            edge.Point(_point_id(name), vector.tolist(), {ID: name, NAMESPACE: OWN, **encode_metadata(metadata)})
            for (name, metadata), vector in zip(rows.items(), vectors, strict=True)
        ]
        self.shard.update(edge.UpdateOperation.upsert_points(points))

    def index(self, path: str, kind: models.PayloadSchemaType) -> None:
        name = {"keyword": "Keyword", "integer": "Integer", "float": "Float", "bool": "Bool"}[kind.value]
        self.shard.update(edge.UpdateOperation.create_field_index(path, getattr(edge.PayloadSchemaType, name)))

    def reopen(self) -> None:
        self.shard.flush()
        self.shard.close()
        self.shard = edge.EdgeShard.load(self._directory)

    def payloads(self, condition: models.Filter) -> dict[str, dict[str, Any]]:
        request = edge.ScrollRequest(limit=10_000, filter=_for_edge(condition), with_payload=True)
        points, _ = self.shard.scroll(request)
        return {point.payload[ID]: point.payload for point in points}

    def matching(self, node: Filter) -> list[str]:
        return sorted(self.payloads(in_namespace(OWN, node)))


def _point_id(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def _for_edge(condition: Any) -> Any:
    """Write a condition of qdrant-client's in the classes of qdrant-edge-py."""
    match condition:
        case models.Filter():
            return edge.Filter(
                must=[_for_edge(each) for each in condition.must or []],
                should=[_for_edge(each) for each in condition.should] if condition.should else None,
                must_not=[_for_edge(each) for each in condition.must_not or []],
            )
        case models.IsEmptyCondition():
            return edge.IsEmptyCondition(condition.is_empty.key)
        case models.FieldCondition(key=key, range=models.Range() as bounds):
            return edge.FieldCondition(key, range=edge.RangeFloat(bounds.gte, bounds.gt, bounds.lte, bounds.lt))
        case models.FieldCondition(key=key, match=models.MatchAny(any=listed)):
            return edge.FieldCondition(key, match=edge.MatchAny(list(listed)))
        case models.FieldCondition(key=key, match=models.MatchValue(value=value)):
            # Its binding takes a bool for the integer that Python says it is.
            return edge.FieldCondition(
                key, match=edge.MatchValue(np.bool_(value) if isinstance(value, bool) else value)
            )
    raise TypeError(f"no such condition is sent: {condition!r}")


@pytest.fixture
def new_shard(tmp_path: Path) -> Iterator[Callable[..., Shard]]:
    made: list[Shard] = []

    def make(distance: str = "Dot") -> Shard:
        directory = tmp_path / str(len(made))
        directory.mkdir()
        made.append(Shard(directory, distance))
        return made[-1]

    yield make
    for each in made:
        each.shard.close()


def indexed(shard: Shard, fields: tuple[str, ...]) -> None:
    for field in fields:
        for kind in ("string", "number", "boolean", "timestamp"):
            for path, schema in field_indexes(field, kind).items():
                shard.index(path, schema)


@pytest.mark.parametrize("with_indexes", [False, True], ids=["unindexed", "indexed"])
def test_every_filter_of_the_suite_means_the_same_there(new_shard: Callable[..., Shard], with_indexes: bool) -> None:
    shard = new_shard()
    shard.store({name: {} if value is None else {"f": value} for name, value in VALUES.items()})
    if with_indexes:
        indexed(shard, ("f", "g"))
    shard.reopen()
    assert [(node, shard.matching(node)) for node, _ in MEANINGS] == [
        (node, sorted(expected)) for node, expected in MEANINGS
    ]


@pytest.mark.parametrize("with_indexes", [False, True], ids=["unindexed", "indexed"])
def test_random_filters_mean_the_same_there(new_shard: Callable[..., Shard], with_indexes: bool) -> None:
    generator = np.random.default_rng(7)
    pool = (*SCALARS, *LISTS, 0.1 + 0.2, 1e-300, -1e300, 2**53 - 1, 9007199254740991.0)
    rows: dict[str, Metadata] = {
        f"{number:02}": {field: pool[generator.integers(len(pool))] for field in FIELDS[:kept]}
        for number, kept in enumerate(generator.integers(0, len(FIELDS) + 1, 60))
    }
    shard = new_shard()
    shard.store(rows)
    if with_indexes:
        indexed(shard, FIELDS)
    shard.reopen()

    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(filters(depth=4))
    def agrees(node: Filter) -> None:
        assert shard.matching(node) == [name for name, row in rows.items() if matches(node, row)]

    agrees()


def test_metadata_comes_back_with_every_type_and_bit(new_shard: Callable[..., Shard]) -> None:
    generator = np.random.default_rng(3)
    doubles = np.frombuffer(generator.bytes(8 * 2_000), np.float64)
    uniform = generator.random(2_000)
    values = [*EXTREME_VALUES, *SCALARS, *LISTS, *doubles[np.isfinite(doubles)].tolist(), *uniform.tolist()]
    rows: dict[str, Metadata] = {str(number): {"f": value} for number, value in enumerate(values)}
    shard = new_shard()
    shard.store(rows)
    shard.reopen()
    found = shard.payloads(in_namespace(OWN))
    assert {name: typed(decode_metadata(payload)) for name, payload in found.items()} == {
        name: typed(row) for name, row in rows.items()
    }


def test_a_plain_double_does_not_come_back_as_it_was(new_shard: Callable[..., Shard]) -> None:
    # If this fails, payloads no longer need numbers as text.
    shard = new_shard()
    doubles = np.random.default_rng(3).random(2_000).tolist()
    points = [edge.Point(_point_id(str(n)), [1.0] * SIZE, {"x": x, ID: str(n)}) for n, x in enumerate(doubles)]
    shard.shard.update(edge.UpdateOperation.upsert_points(points))
    found = shard.payloads(models.Filter())
    wrong = sum(payload["x"] != doubles[int(name)] for name, payload in found.items())
    assert wrong > 100


def test_field_names_are_literal(new_shard: Callable[..., Shard]) -> None:
    names = ["a.b", "a", "a b", "a[0]", "日本語", "é", "it's", "a\\b", "%", "%5C", "'", "a:b", "ns", "$", 'q"q', "\t"]
    shard = new_shard()
    shard.store({str(number): {name: "here", f"{name}2": 0.1 + 0.2} for number, name in enumerate(names)})
    for number, name in enumerate(names):
        assert shard.matching(Eq(name, "here")) == [str(number)]
        assert shard.matching(Eq(f"{name}2", 0.1 + 0.2)) == [str(number)]


def test_a_merge_with_nulls_takes_fields_away(new_shard: Callable[..., Shard]) -> None:
    shard = new_shard()
    shard.store({"a": {"f": 1, "g": "kept"}, "b": {"f": ()}})
    indexed(shard, ("f",))
    changes = encode_changes({"f": True}, ["h"])
    shard.shard.update(edge.UpdateOperation.set_payload([_point_id("a"), _point_id("b")], changes))
    assert shard.matching(Eq("f", True)) == ["a", "b"]
    assert shard.matching(Eq("f", 1)) == []
    assert shard.matching(Not(Eq("f", True))) == []
    found = shard.payloads(in_namespace(OWN))
    assert decode_metadata(found["a"]) == {"f": True, "g": "kept"}


@pytest.mark.parametrize("metric", Metric)
def test_scores_are_within_the_tolerance_and_originals_come_back(
    new_shard: Callable[..., Shard], metric: Metric
) -> None:
    shard = new_shard(DISTANCES[metric].value)
    vectors = random_vectors(200, SIZE) * np.float32(30.0)
    stored = stored_vectors(metric, vectors).rows
    shard.store({f"{number:03}": {} for number in range(200)}, stored)
    shard.reopen()
    query = random_vectors(1, SIZE, seed=9)
    (target,) = stored_vectors(metric, query).rows.tolist()
    request = edge.QueryRequest(
        query=edge.Query.Nearest(target),
        limit=200,
        with_payload=True,
        with_vector=True,
        params=edge.SearchParams(exact=True),
    )
    hits = shard.shard.query(request)
    rows = [int(hit.payload[ID]) for hit in hits]
    scores = scores_of(metric, [hit.score for hit in hits])
    exact = exact_scores(metric, query[0], vectors)
    assert np.all(np.abs(scores - exact[rows]) <= tolerances(metric, query[0], vectors)[rows])
    assert np.array_equal(np.array([hit.vector for hit in hits], np.float32), stored[rows])


def test_inner_products_whose_large_terms_cancel_out_are_off_and_known_to_be(new_shard: Callable[..., Shard]) -> None:
    # If this fails, vectors need not be read again under DOT.
    shard = new_shard("Dot")
    vectors = random_vectors(50, SIZE) * np.float32(1e4)
    vectors[:, -1] = -(vectors[:, :-1].sum(axis=1))
    shard.store({f"{number:03}": {} for number in range(50)}, vectors)
    query = np.full(SIZE, 1e4, np.float32)
    hits = shard.shard.query(edge.QueryRequest(query=edge.Query.Nearest(query.tolist()), limit=50, with_payload=True))
    rows = [int(hit.payload[ID]) for hit in hits]
    scores = np.array([hit.score for hit in hits], np.float32)
    exact = exact_scores(Metric.DOT, query, vectors)[rows]
    allowed = tolerances(Metric.DOT, query, vectors)[rows]
    assert np.any(np.abs(scores - exact) > allowed)
    assert imprecise(query, scores, np.linalg.norm(vectors, axis=1).tolist())
    assert np.all(np.abs(inner_products(query, vectors[rows]) - exact) <= allowed)


def test_an_empty_namespace_filter_is_never_sent() -> None:
    assert in_namespace(OWN).must
    assert translate(Eq("f", 1)).should
