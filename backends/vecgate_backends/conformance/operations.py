"""Random operations on a collection, each applied to the backend and to a model of it, both told to agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

import numpy as np
from hypothesis import strategies as st

from vecgate_backends.conformance.material import batch_of, random_vectors, upsert
from vecgate_backends.conformance.store import Store
from vecgate_backends.conformance.strategies import FIELDS, filters, metadata, values
from vecgate_backends.contract import ByFilter, ByIds, Everything, MetadataChanges, Selector
from vecgate_backends.errors import RecordExistsError, RecordNotFoundError
from vecgate_backends.filters import matches
from vecgate_backends.records import Acknowledgement, FloatMatrix, Metadata, Record, WriteMode

NAME = "things"
NAMESPACES = ("", "other")
IDS = tuple(f"{n:02}" for n in range(24))
VECTORS: FloatMatrix = np.ascontiguousarray(np.round(random_vectors(30, seed=21) * 2) + np.float32(0.25))
"""A few coarse vectors, so that scores tie."""


Model: TypeAlias = dict[str, dict[str, Record]]
"""Namespace → id → the record as it should be, with its vector."""


@dataclass(frozen=True, slots=True)
class Row:
    """One record to write; `vector` is a row of VECTORS."""

    id: str
    vector: int
    text: str | None
    metadata: Metadata
    encoding_stamp: bytes


class Operation(Protocol):
    """Something done to the backend and to the model."""

    async def apply(self, store: Store, model: Model) -> None:
        """Do it to both, and insist that the backend's answer is what the model expects."""


@dataclass(frozen=True, slots=True)
class Write:
    """Upsert, insert or update."""

    namespace: str
    mode: WriteMode
    rows: tuple[Row, ...]

    async def apply(self, store: Store, model: Model) -> None:
        """Write the rows in order."""
        batch = batch_of(
            [row.id for row in self.rows],
            vectors=VECTORS[[row.vector for row in self.rows]],
            texts=[row.text for row in self.rows],
            metadata=[row.metadata for row in self.rows],
            encoding_stamps=[row.encoding_stamp for row in self.rows],
        )
        collection = await store.backend.collection(NAME)
        result = await upsert(collection, batch, namespace=self.namespace, mode=self.mode)
        expected: list[type[object]] = []
        records = model[self.namespace]
        for row in self.rows:
            error = {
                (WriteMode.INSERT, True): RecordExistsError,
                (WriteMode.UPDATE, False): RecordNotFoundError,
            }.get((self.mode, row.id in records), type(None))
            if error is type(None):
                kept = row.encoding_stamp if store.backend.capabilities.encoding_stamps else b""
                records[row.id] = Record(row.id, row.text, dict(row.metadata), VECTORS[row.vector], kept)
            expected.append(error)
        assert [type(error) for error in result.errors] == expected


@dataclass(frozen=True, slots=True)
class Update:
    """Set and remove metadata."""

    namespace: str
    selector: Selector
    set: Metadata
    remove: frozenset[str]

    async def apply(self, store: Store, model: Model) -> None:
        """Change the selected records."""
        changes = MetadataChanges(self.set, self.remove - set(self.set))
        collection = await store.backend.collection(NAME)
        result = await collection.update_metadata(
            self.namespace, self.selector, changes, acknowledgement=Acknowledgement.SEARCHABLE
        )
        chosen = selected(model[self.namespace], self.selector)
        assert result.matched == len(chosen)
        for record in chosen:
            kept = {name: value for name, value in record.metadata.items() if name not in changes.remove}
            model[self.namespace][record.id] = replace(record, metadata={**kept, **self.set})


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove records, or count them."""

    namespace: str
    selector: Selector
    dry_run: bool

    async def apply(self, store: Store, model: Model) -> None:
        """Remove the selected records."""
        collection = await store.backend.collection(NAME)
        result = await collection.delete(
            self.namespace, self.selector, dry_run=self.dry_run, acknowledgement=Acknowledgement.SEARCHABLE
        )
        chosen = selected(model[self.namespace], self.selector)
        assert result.matched == len(chosen)
        if not self.dry_run:
            for record in chosen:
                del model[self.namespace][record.id]


@dataclass(frozen=True, slots=True)
class Settle:
    """Let background work finish; nothing may change."""

    async def apply(self, store: Store, model: Model) -> None:
        """Wait."""
        del model
        await store.settle()


@dataclass(frozen=True, slots=True)
class Reopen:
    """Close and open again, where data outlives that; nothing may change."""

    async def apply(self, store: Store, model: Model) -> None:
        """Reopen."""
        del model
        if store.case.reopenable:
            await store.reopen()


def selected(records: Mapping[str, Record], selector: Selector) -> list[Record]:
    """Return what a selector selects, each record once."""
    match selector:
        case ByIds(ids):
            return [records[record_id] for record_id in set(ids) & set(records)]
        case ByFilter(node):
            return [record for record in records.values() if matches(node, record.metadata)]
        case Everything():
            return list(records.values())


_namespaces = st.sampled_from(NAMESPACES)
_ids = st.sampled_from(IDS)
_texts = st.sampled_from((None, "", "text", "日本語"))
_stamps = st.sampled_from((b"", b"\x00", b"\xff stamp"))
_rows = st.builds(Row, _ids, st.integers(0, len(VECTORS) - 1), _texts, metadata, _stamps)
_selectors: st.SearchStrategy[Selector] = st.one_of(
    st.builds(ByIds, st.lists(_ids, max_size=6).map(tuple)),
    st.builds(ByFilter, filters(depth=2)),
    st.just(Everything()),
)
_writes = st.builds(Write, _namespaces, st.sampled_from(WriteMode), st.lists(_rows, min_size=1, max_size=24).map(tuple))
operations: st.SearchStrategy[Operation] = st.one_of(
    _writes,
    _writes,
    st.builds(
        Update,
        _namespaces,
        _selectors,
        st.dictionaries(st.sampled_from(FIELDS), values, max_size=2),
        st.frozensets(st.sampled_from(FIELDS)),
    ),
    st.builds(Delete, _namespaces, _selectors, st.booleans()),
    st.just(Settle()),
    st.just(Reopen()),
)
