"""Random sequences of operations, after each of which everything readable agrees with a model."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

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


class Histories(RuleBasedStateMachine):
    """One history on a fresh store; after each step both namespaces are checked."""

    def __init__(self, case: Case, directory: Path, runner: asyncio.Runner) -> None:
        super().__init__()
        directory.mkdir()
        self._store = Store(case, directory)
        self._runner = runner
        self._model: Model = {namespace: {} for namespace in NAMESPACES}
        runner.run(self._store.backend.start())

    @initialize(metric=st.sampled_from(Metric), node=conditions)
    def create(self, metric: Metric, node: Filter) -> None:
        """Create the collection; every check searches with this condition too."""
        self._node = node
        self._runner.run(self._store.create(NAME, metric=metric))

    @rule(operation=operations)
    def step(self, operation: Operation) -> None:
        """Do one thing to the store and to the model."""
        self._runner.run(operation.apply(self._store, self._model))
        self._runner.run(self._check())

    def teardown(self) -> None:
        """Close the store, whatever became of the history."""
        self._runner.run(self._store.backend.close())

    async def _check(self) -> None:
        collection = await self._store.backend.collection(NAME)
        for namespace in NAMESPACES:
            await check_namespace(collection, namespace, self._model[namespace], self._node)


class TestHistories:
    """Whatever was done before, the state is right."""

    def test_after_any_history_everything_readable_agrees_with_the_model(self, case: Case, tmp_path: Path) -> None:
        directories = (tmp_path / str(number) for number in range(1_000_000))
        bounds = settings(max_examples=case.examples, stateful_step_count=case.steps, deadline=None)
        with asyncio.Runner() as runner:
            run_state_machine_as_test(
                lambda: Histories(case, next(directories), runner),  # type: ignore[arg-type]  # any factory will do
                settings=bounds,
            )
