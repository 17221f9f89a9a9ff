"""Random sequences of operations, after each of which everything readable agrees with a model."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hypothesis import given, note, settings
from hypothesis import strategies as st

from vecgate_backends.conformance.case import Case
from vecgate_backends.conformance.material import list_all, random_vectors, typed
from vecgate_backends.conformance.operations import IDS, NAME, NAMESPACES, Model, Operation, operations, selected
from vecgate_backends.conformance.oracle import Oracle
from vecgate_backends.conformance.store import Store
from vecgate_backends.conformance.strategies import FIELDS, conditions
from vecgate_backends.contract import ByFilter, Collection, Everything, SearchOptions
from vecgate_backends.filters import Filter
from vecgate_backends.records import Fields, Metric, Record


def comparable(records: list[Record]) -> dict[str, tuple[object, ...]]:
    """Return records by id in a form whose equality is that of every bit."""
    assert len({record.id for record in records}) == len(records)
    return {
        record.id: (record.text, typed(record.metadata), b"" if record.vector is None else record.vector.tobytes())
        for record in records
    }


async def check_namespace(collection: Collection, namespace: str, records: dict[str, Record], node: Filter) -> None:
    """Insist that listing, counts, sizes, statistics and searches are those of the model."""
    assert comparable(await list_all(collection, namespace=namespace, page_size=7)) == comparable(
        list(records.values())
    )
    assert await collection.count(namespace, Everything()) == len(records)
    assert (await collection.size()).namespaces.get(namespace, 0) == len(records)
    found = await collection.get(namespace, IDS, Fields(metadata=False, encoding_stamp=True))
    assert [record and (record.text, record.encoding_stamp) for record in found] == [
        (records[record_id].text, records[record_id].encoding_stamp) if record_id in records else None
        for record_id in IDS
    ]
    stats = await collection.field_stats(namespace, FIELDS[0], None, limit=5)
    assert (stats.present, stats.missing) == (
        sum(FIELDS[0] in record.metadata for record in records.values()),
        sum(FIELDS[0] not in record.metadata for record in records.values()),
    )
    matching = {record.id: record for record in selected(records, ByFilter(node))}
    assert await collection.count(namespace, ByFilter(node)) == len(matching)
    queries = random_vectors(1, seed=3)
    for chosen, condition in ((records, None), (matching, node)):
        stored = {record_id: record.vector for record_id, record in chosen.items() if record.vector is not None}
        for exact in (True, False):
            options = SearchOptions(top_k=5, filter=condition, exact=exact)
            (hits,) = await collection.search(namespace, queries, options)
            Oracle(collection.spec.metric, stored).check(hits, queries[0], top_k=5, nearest=exact)
            assert hits.records is not None
            for record in hits.records:
                assert typed(record.metadata) == typed(chosen[record.id].metadata)


async def run_history(case: Case, directory: Path, metric: Metric, history: list[Operation], node: Filter) -> None:
    """Apply a history to a fresh store, and check both namespaces after each step."""
    store = Store(case, directory)
    await store.backend.start()
    try:
        await store.create(NAME, metric=metric)
        model: Model = {namespace: {} for namespace in NAMESPACES}
        for operation in history:
            await operation.apply(store, model)
            collection = await store.backend.collection(NAME)
            for namespace in NAMESPACES:
                await check_namespace(collection, namespace, model[namespace], node)
    finally:
        await store.backend.close()


class TestHistories:
    """Whatever was done before, the state is right."""

    def test_after_any_history_everything_readable_agrees_with_the_model(self, case: Case, tmp_path: Path) -> None:
        directories = (tmp_path / str(number) for number in range(1_000_000))
        with asyncio.Runner() as runner:

            @settings(max_examples=case.examples, deadline=None)
            @given(st.sampled_from(Metric), st.lists(operations, min_size=1, max_size=15), conditions)
            def agrees(metric: Metric, history: list[Operation], node: Filter) -> None:
                directory = next(directories)
                directory.mkdir()
                note(f"in {directory}")
                runner.run(run_history(case, directory, metric, history, node))

            agrees()
