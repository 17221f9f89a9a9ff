"""The suite notices what it is there to notice: each defect here fails the test that is named beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecgate_backends.answers import ChangeResult, Hits, Page, WriteResult
from vecgate_backends.conformance import (
    Case,
    concurrency,
    encoding_stamps,
    filters,
    index_updates,
    lifecycle,
    namespaces,
    reads,
    recall,
    refusals,
    scores,
    search,
    tokens,
    writes,
)
from vecgate_backends.conformance.store import Store
from vecgate_backends.contract import SearchOptions, Selector
from vecgate_backends.filters import Eq, Filter
from vecgate_backends.memory import MemoryBackend, MemoryOptions
from vecgate_backends.memory.collection import MemoryCollection
from vecgate_backends.records import (
    Acknowledgement,
    CollectionSpec,
    Fields,
    FlatIndex,
    FloatMatrix,
    IndexConfig,
    Metric,
    RecordBatch,
    WriteMode,
)


class ScoresAreDistances(MemoryCollection):
    async def search(self, namespace: str, queries: FloatMatrix, options: SearchOptions) -> Sequence[Hits]:
        answers = await super().search(namespace, queries, options)
        return [replace(hits, scores=-hits.scores) for hits in answers]


class ScoresAreSquared(MemoryCollection):
    async def search(self, namespace: str, queries: FloatMatrix, options: SearchOptions) -> Sequence[Hits]:
        answers = await super().search(namespace, queries, options)
        return [replace(hits, scores=-(hits.scores**2)) for hits in answers]


class OneHitIsLost(MemoryCollection):
    async def search(self, namespace: str, queries: FloatMatrix, options: SearchOptions) -> Sequence[Hits]:
        return await super().search(namespace, queries, replace(options, top_k=max(1, options.top_k - 1)))


class TheThresholdIsExclusive(MemoryCollection):
    async def search(self, namespace: str, queries: FloatMatrix, options: SearchOptions) -> Sequence[Hits]:
        if options.score_threshold is not None:
            options = replace(options, score_threshold=float(np.nextafter(options.score_threshold, np.inf)))
        return await super().search(namespace, queries, options)


class TiesComeBackwards(MemoryCollection):
    async def search(self, namespace: str, queries: FloatMatrix, options: SearchOptions) -> Sequence[Hits]:
        answers = await super().search(namespace, queries, replace(options, fields=Fields(False, False)))
        return [replace(hits, ids=list(hits.ids)[::-1], scores=hits.scores[::-1]) for hits in answers]


class TheFilterIsForgotten(MemoryCollection):
    async def search(self, namespace: str, queries: FloatMatrix, options: SearchOptions) -> Sequence[Hits]:
        return await super().search(namespace, queries, replace(options, filter=None))


class TheFilterComesAfterTheCut(MemoryCollection):
    async def search(self, namespace: str, queries: FloatMatrix, options: SearchOptions) -> Sequence[Hits]:
        answers = await super().search(namespace, queries, replace(options, filter=None))
        matching = {record.id for record in self._matching(namespace, options.filter)}
        return [
            Hits(
                [record_id for record_id in hits.ids if record_id in matching],
                hits.scores[[record_id in matching for record_id in hits.ids]],
                None,
                hits.explanation,
            )
            for hits in answers
        ]


class NumbersAreFloats(MemoryCollection):
    def _matching(self, namespace: str, node: Filter | None) -> Any:
        if isinstance(node, Eq) and isinstance(node.value, int):
            node = Eq(node.field, float(node.value))
        return super()._matching(namespace, node)


class OneNamespaceForAll(MemoryCollection):
    async def search(self, namespace: str, queries: FloatMatrix, options: SearchOptions) -> Sequence[Hits]:
        del namespace
        return await super().search("two", queries, options)


class UpsertsMerge(MemoryCollection):
    async def upsert(self, namespace: str, batch: RecordBatch, **levels: Any) -> WriteResult:
        before = self._namespaces.get(namespace, {})
        merged = [
            {**before[record_id].metadata, **new} if record_id in before else new
            for record_id, new in zip(batch.ids, batch.metadata, strict=True)
        ]
        return await super().upsert(namespace, replace(batch, metadata=merged), **levels)


class EveryWriteIsAnUpsert(MemoryCollection):
    async def upsert(
        self, namespace: str, batch: RecordBatch, *, mode: WriteMode, acknowledgement: Acknowledgement
    ) -> WriteResult:
        del mode
        return await super().upsert(namespace, batch, mode=WriteMode.UPSERT, acknowledgement=acknowledgement)


class ReplacementHasAGap(MemoryCollection):
    async def upsert(self, namespace: str, batch: RecordBatch, **levels: Any) -> WriteResult:
        for record_id in batch.ids:
            self._namespaces.get(namespace, {}).pop(record_id, None)
        await asyncio.sleep(0)  # where others see that it is gone
        return await super().upsert(namespace, batch, **levels)


class VectorsAreNormalised(MemoryCollection):
    async def upsert(self, namespace: str, batch: RecordBatch, **levels: Any) -> WriteResult:
        lengths = np.linalg.norm(batch.vectors.astype(np.float64), axis=1, keepdims=True)
        return await super().upsert(
            namespace, replace(batch, vectors=(batch.vectors / lengths).astype(np.float32)), **levels
        )


class IntegersBecomeDoubles(MemoryCollection):
    async def upsert(self, namespace: str, batch: RecordBatch, **levels: Any) -> WriteResult:
        rows = [{k: float(v) if type(v) is int else v for k, v in row.items()} for row in batch.metadata]
        return await super().upsert(namespace, replace(batch, metadata=rows), **levels)


class EmptyTextIsNone(MemoryCollection):
    async def upsert(self, namespace: str, batch: RecordBatch, **levels: Any) -> WriteResult:
        return await super().upsert(namespace, replace(batch, texts=[text or None for text in batch.texts]), **levels)


class ADryRunRemoves(MemoryCollection):
    async def delete(self, namespace: str, selector: Selector, *, dry_run: bool, **levels: Any) -> ChangeResult:
        del dry_run
        return await super().delete(namespace, selector, dry_run=False, **levels)


class PagesAreOffsets(MemoryCollection):
    async def list_records(
        self,
        namespace: str,
        filter: Filter | None,  # noqa: A002  # the contract's word
        *,
        cursor: str | None,
        limit: int,
        **how: Any,
    ) -> Page:
        start = int(cursor or 0)
        whole = await super().list_records(namespace, filter, cursor=None, limit=10**6, **how)
        end = start + limit
        return Page(whole.records[start:end], str(end) if len(whole.records) > end else None)


class TokensAreIgnored(MemoryCollection):
    def _require(self, token: str | None) -> None:
        del token
        super()._require(None)


class DeletedHandlesAnswer(MemoryCollection):
    def end(self, ending: object) -> None:
        del ending


class ShapesAreNotChecked(MemoryCollection):
    async def upsert(self, namespace: str, batch: RecordBatch, **levels: Any) -> WriteResult:
        rows = np.resize(batch.vectors, (len(batch.ids), self.spec.dimension))
        return await super().upsert(namespace, replace(batch, vectors=rows), **levels)


class StampsOutliveTheirRecord(MemoryCollection):
    async def upsert(self, namespace: str, batch: RecordBatch, **levels: Any) -> WriteResult:
        before = self._namespaces.get(namespace, {})
        old = [before[name].encoding_stamp if name in before else b"" for name in batch.ids]
        stamps = [batch.encoding_stamp(row) or old[row] for row in range(len(batch.ids))]
        return await super().upsert(namespace, replace(batch, encoding_stamps=stamps), **levels)


class StampsAreText(MemoryCollection):
    async def upsert(self, namespace: str, batch: RecordBatch, **levels: Any) -> WriteResult:
        stamps = [stamp.decode(errors="ignore").encode() for stamp in batch.encoding_stamps]
        return await super().upsert(namespace, replace(batch, encoding_stamps=stamps), **levels)


class UpdatingMetadataDropsStamps(MemoryCollection):
    async def update_metadata(self, namespace: str, *what: Any, **levels: Any) -> ChangeResult:
        records = self._namespaces[namespace]
        records.update({name: replace(record, encoding_stamp=b"") for name, record in records.items()})
        return await super().update_metadata(namespace, *what, **levels)


class EveryReadShowsStamps(MemoryCollection):
    async def list_records(self, *what: Any, fields: Fields, **how: Any) -> Page:
        return await super().list_records(*what, fields=replace(fields, encoding_stamp=True), **how)


class AChangedIndexIsForgotten(MemoryCollection):
    def set_index(self, index: IndexConfig | None) -> None:
        del index


class AChangedIndexLosesARecord(MemoryCollection):
    def set_index(self, index: IndexConfig | None) -> None:
        super().set_index(index)
        for records in self._namespaces.values():
            records.popitem()


Noticing = Callable[[Store], Awaitable[None]]
EVERY_SELECTOR = writes.SELECTORS["everything"]
DEFECTS: Mapping[type[MemoryCollection], Noticing] = {
    ScoresAreDistances: lambda store: scores.TestScores().test_scores_are_those_of_the_definition(
        store, Metric.EUCLIDEAN, 1.0, False
    ),
    ScoresAreSquared: lambda store: scores.TestScores().test_scores_are_those_of_the_definition(
        store, Metric.EUCLIDEAN, 1.0, True
    ),
    OneHitIsLost: lambda store: search.TestSearch().test_as_many_come_back_as_exist_up_to_top_k(store, 39, False),
    TheThresholdIsExclusive: lambda store: search.TestSearch().test_the_threshold_keeps_a_score_equal_to_it(
        store, Metric.COSINE
    ),
    TiesComeBackwards: lambda store: scores.TestScores().test_equal_scores_come_in_the_order_of_ids(store, Metric.DOT),
    TheFilterIsForgotten: lambda store: filters.TestFilters().test_every_filter_means_what_the_table_says(store),
    TheFilterComesAfterTheCut: lambda store: (
        recall.TestRecall().test_recall_holds_at_every_selectivity_and_exact_search_misses_nothing(store, Metric.COSINE)
    ),
    NumbersAreFloats: lambda store: filters.TestFilters().test_every_filter_means_what_the_table_says(store),
    OneNamespaceForAll: lambda store: namespaces.TestNamespaces().test_a_write_in_one_changes_no_other(store),
    UpsertsMerge: lambda store: writes.TestUpsert().test_an_upsert_replaces_the_whole_record(store),
    EveryWriteIsAnUpsert: lambda store: writes.TestUpsert().test_the_first_of_two_inserts_in_a_batch_stands(store),
    ReplacementHasAGap: lambda store: (
        concurrency.TestConcurrency().test_a_replaced_record_is_found_exactly_once_at_every_moment(store)
    ),
    VectorsAreNormalised: lambda store: reads.TestGet().test_vectors_come_back_bit_for_bit(store),
    IntegersBecomeDoubles: lambda store: reads.TestGet().test_metadata_keeps_its_types(store),
    EmptyTextIsNone: lambda store: reads.TestGet().test_empty_text_is_not_the_absence_of_text(store),
    ADryRunRemoves: lambda store: writes.TestDelete().test_a_dry_run_counts_and_removes_nothing(store, *EVERY_SELECTOR),
    PagesAreOffsets: lambda store: reads.TestList().test_what_exists_throughout_is_listed_once_while_writes_go_on(
        store
    ),
    StampsOutliveTheirRecord: lambda store: (
        encoding_stamps.TestEncodingStamps().test_a_replacement_replaces_the_stamp_or_removes_it(store)
    ),
    StampsAreText: lambda store: encoding_stamps.TestEncodingStamps().test_stamps_come_back_byte_for_byte(store),
    UpdatingMetadataDropsStamps: lambda store: (
        encoding_stamps.TestEncodingStamps().test_updating_metadata_keeps_the_stamp(store)
    ),
    EveryReadShowsStamps: lambda store: encoding_stamps.TestEncodingStamps().test_nobody_sees_a_stamp_who_did_not_ask(
        store
    ),
    AChangedIndexIsForgotten: lambda store: (
        index_updates.TestIndexUpdates().test_exactly_the_claimed_changes_are_made_and_told(store, FlatIndex())
    ),
    AChangedIndexLosesARecord: lambda store: (
        index_updates.TestIndexUpdates().test_searches_are_right_before_and_after_the_index_is_built_anew(store)
    ),
    TokensAreIgnored: lambda store: tokens.TestTokens().test_a_token_of_another_collection_is_refused(
        store, tokens.search_count
    ),
    DeletedHandlesAnswer: lambda store: (
        lifecycle.TestCollections().test_a_handle_of_a_deleted_collection_answers_nothing_even_when_the_name_is_taken_again(
            store
        )
    ),
    ShapesAreNotChecked: lambda store: (
        refusals.TestRefusals().test_vectors_of_a_wrong_shape_are_refused_and_nothing_is_stored(store, (1, 7))
    ),
}


class BackendOf(MemoryBackend):
    """A memory backend whose collections are of a defective class."""

    def __init__(self, kind: type[MemoryCollection]) -> None:
        super().__init__(MemoryOptions())
        self._kind = kind

    async def create_collection(self, spec: CollectionSpec) -> None:
        await super().create_collection(spec)
        self._collections[spec.name] = self._kind(spec)


def store_of(kind: type[MemoryCollection], directory: Path) -> Store:
    return Store(Case(kind.__name__, lambda _: BackendOf(kind), reopenable=False), directory)


@pytest.mark.parametrize("kind", DEFECTS, ids=lambda kind: kind.__name__)
async def test_the_suite_notices(kind: type[MemoryCollection], tmp_path: Path) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await DEFECTS[kind](store_of(kind, tmp_path))


@pytest.mark.parametrize("kind", DEFECTS, ids=lambda kind: kind.__name__)
async def test_the_same_test_passes_without_the_defect(kind: type[MemoryCollection], tmp_path: Path) -> None:
    await DEFECTS[kind](store_of(MemoryCollection, tmp_path))
