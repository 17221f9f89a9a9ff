"""Searching: how many come back, the threshold, the fields, empty places."""

from __future__ import annotations

import numpy as np
import pytest

from vecgate_backends.answers import Hits
from vecgate_backends.conformance.material import DIMENSION, axis, random_vectors, store_records, typed
from vecgate_backends.conformance.oracle import Oracle, check_order
from vecgate_backends.conformance.store import Store
from vecgate_backends.contract import Collection, SearchOptions
from vecgate_backends.records import IDS_ONLY, Fields, Metadata, Metric

EACH_METRIC = pytest.mark.parametrize("metric", list(Metric))
HOW = pytest.mark.parametrize("exact", [True, False], ids=["exact", "indexed"])
METADATA: Metadata = {"n": 1, "title": "x", "tags": ("p",)}


async def search_one(collection: Collection, options: SearchOptions) -> Hits:
    """Search for one random vector."""
    (hits,) = await collection.search("", random_vectors(1, seed=7), options)
    return hits


@pytest.mark.asyncio
class TestSearch:
    """The answer's size and shape."""

    @HOW
    @pytest.mark.parametrize("top_k", [1, 2, 39, 40, 41, 10_000])
    async def test_as_many_come_back_as_exist_up_to_top_k(self, store: Store, top_k: int, exact: bool) -> None:
        collection = await store.create()
        vectors = random_vectors(40)
        stored = {f"{n:02}": vector for n, vector in enumerate(vectors)}
        await store_records(collection, list(stored), vectors=vectors)
        await store.settle()
        hits = await search_one(collection, SearchOptions(top_k=top_k, exact=exact, ef=1))
        Oracle(Metric.COSINE, stored).check(hits, random_vectors(1, seed=7)[0], top_k=top_k, nearest=exact)

    @EACH_METRIC
    async def test_the_threshold_keeps_a_score_equal_to_it(self, store: Store, metric: Metric) -> None:
        collection = await store.create(metric=metric)
        await store_records(collection, [f"{n:02}" for n in range(30)], vectors=random_vectors(30))
        await store.settle()
        every = await search_one(collection, SearchOptions(top_k=30, exact=True))
        for cut in (0, 3, 29):
            threshold = float(every.scores[cut])
            kept = await search_one(collection, SearchOptions(top_k=30, exact=True, score_threshold=threshold))
            assert list(kept.ids) == list(every.ids)[: cut + 1]
            assert kept.scores.tolist() == every.scores[: cut + 1].tolist()

    @EACH_METRIC
    @HOW
    async def test_a_threshold_above_every_score_leaves_nothing(
        self, store: Store, metric: Metric, exact: bool
    ) -> None:
        collection = await store.create(metric=metric)
        await store_records(collection, ["a", "b"], vectors=np.concatenate([axis(1), axis(2)]))
        (hits,) = await collection.search("", axis(0), SearchOptions(score_threshold=0.5, exact=exact))
        assert (list(hits.ids), hits.scores.shape) == ([], (0,))

    @EACH_METRIC
    async def test_a_threshold_below_every_score_leaves_everything(self, store: Store, metric: Metric) -> None:
        collection = await store.create(metric=metric)
        await store_records(collection, ["a", "b"], vectors=np.concatenate([axis(1), axis(2)]))
        (hits,) = await collection.search("", axis(0), SearchOptions(score_threshold=-1e6))
        assert sorted(hits.ids) == ["a", "b"]

    @pytest.mark.parametrize(
        ("fields", "text", "names", "with_vector"),
        [
            pytest.param(Fields(), "words", {"n", "title", "tags"}, False, id="default"),
            pytest.param(Fields(text=False), None, {"n", "title", "tags"}, False, id="metadata"),
            pytest.param(Fields(metadata=False), "words", set(), False, id="text"),
            pytest.param(
                Fields(text=False, metadata=frozenset({"n", "absent"})), None, {"n"}, False, id="chosen-metadata"
            ),
            pytest.param(Fields(text=False, metadata=False, vector=True), None, set(), True, id="vector"),
            pytest.param(Fields(vector=True), "words", {"n", "title", "tags"}, True, id="all"),
        ],
    )
    async def test_hits_carry_the_fields_that_were_asked_for(
        self, store: Store, fields: Fields, text: str | None, names: set[str], with_vector: bool
    ) -> None:
        collection = await store.create()
        await store_records(collection, ["a", "b"], texts=["words"] * 2, metadata=[METADATA] * 2)
        hits = await search_one(collection, SearchOptions(fields=fields))
        assert hits.records is not None
        assert [record.id for record in hits.records] == list(hits.ids)
        for record in hits.records:
            assert record.text == text
            assert typed(record.metadata) == typed({name: METADATA[name] for name in names})
            assert (record.vector is not None) is with_vector
        if with_vector:
            vectors = dict(zip(["a", "b"], random_vectors(2), strict=True))
            for record in hits.records:
                assert record.vector is not None
                assert record.vector.tobytes() == vectors[record.id].tobytes()

    async def test_no_record_is_read_for_ids_alone(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, ["a"])
        assert (await search_one(collection, SearchOptions(fields=IDS_ONLY))).records is None

    @HOW
    async def test_an_empty_collection_has_no_hits(self, store: Store, exact: bool) -> None:
        collection = await store.create()
        answers = await collection.search("", random_vectors(3), SearchOptions(exact=exact))
        assert [list(hits.ids) for hits in answers] == [[], [], []]
        for hits in answers:
            assert hits.scores.shape == (0,)

    async def test_an_empty_namespace_has_no_hits(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, ["a"])
        (hits,) = await collection.search("elsewhere", random_vectors(1), SearchOptions())
        assert list(hits.ids) == []

    async def test_a_search_says_what_it_did(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, ["a"])
        assert (await search_one(collection, SearchOptions())).explanation.plan

    async def test_parameters_of_other_index_kinds_change_no_answer(self, store: Store) -> None:
        collection = await store.create()
        vectors = random_vectors(30)
        await store_records(collection, [str(n) for n in range(30)], vectors=vectors)
        plain = await search_one(collection, SearchOptions(exact=True))
        tuned = await search_one(collection, SearchOptions(exact=True, ef=500, nprobe=8))
        assert list(plain.ids) == list(tuned.ids)
        check_order(tuned)
        assert vectors.shape == (30, DIMENSION)
