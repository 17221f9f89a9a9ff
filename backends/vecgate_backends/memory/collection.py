"""A collection of the memory backend: dictionaries of records, filtered and ranked one by one."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vecgate_backends.answers import ChangeResult, Explanation, FieldStats, Hits, Page, WriteResult
from vecgate_backends.contract import ByFilter, ByIds, Everything, MetadataChanges, SearchOptions, Selector
from vecgate_backends.errors import (
    DimensionMismatchError,
    RecordExistsError,
    RecordNotFoundError,
    TokenInvalidError,
    VecgateError,
)
from vecgate_backends.field_statistics import describe_field
from vecgate_backends.filters import Filter, matches
from vecgate_backends.memory.exact_scores import SCORES, Float64Array
from vecgate_backends.records import (
    Acknowledgement,
    CollectionSize,
    CollectionSpec,
    Fields,
    FloatMatrix,
    FloatVector,
    IndexConfig,
    Metadata,
    Record,
    RecordBatch,
    WriteMode,
)


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as the collection owns it; `vector` has shape (dimension,)."""

    id: str
    text: str | None
    metadata: Metadata
    vector: FloatVector
    encoding_stamp: bytes


class MemoryCollection:
    """A collection in dictionaries; see contract.Collection for what each method promises."""

    def __init__(self, spec: CollectionSpec) -> None:
        self._spec = spec
        self._identity = uuid.uuid4().hex
        self._sequence = 0
        self._namespaces: dict[str, dict[str, StoredRecord]] = {}
        self._ending: Callable[[], VecgateError] | None = None

    @property
    def spec(self) -> CollectionSpec:
        """Its settings."""
        return self._spec

    def set_index(self, index: IndexConfig | None) -> None:
        """Change the index in the settings."""
        self._spec = replace(self._spec, index=index)

    def end(self, ending: Callable[[], VecgateError]) -> None:
        """Drop all records; every later call raises what `ending` makes: the collection was deleted, or the backend closed."""
        self._ending = ending
        self._namespaces = {}

    async def size(self) -> CollectionSize:
        """Count records by namespace."""
        self._require(None)
        return CollectionSize({name: len(records) for name, records in sorted(self._namespaces.items()) if records})

    async def upsert(
        self, namespace: str, batch: RecordBatch, *, mode: WriteMode, acknowledgement: Acknowledgement
    ) -> WriteResult:
        """Write records in the batch's order."""
        del acknowledgement  # searchable at once, durable never: no level makes a difference
        self._require(None)
        expected = (len(batch.ids), self._spec.dimension)
        if batch.vectors.shape != expected:
            raise DimensionMismatchError(f"vectors are of shape {batch.vectors.shape}, not {expected}")
        rows = list(zip(batch.ids, batch.vectors, batch.texts, batch.metadata, strict=True))
        records = self._namespaces.setdefault(namespace, {})
        errors: list[VecgateError | None] = []
        for row, (record_id, vector, text, metadata) in enumerate(rows):
            error = _mode_error(mode, record_id, record_id in records)
            if error is None:
                stamp = batch.encoding_stamp(row)
                records[record_id] = StoredRecord(record_id, text, dict(metadata), vector.copy(), stamp)
            errors.append(error)
        return WriteResult(errors, searchable=True, consistency_token=self._next_token())

    async def update_metadata(
        self, namespace: str, selector: Selector, changes: MetadataChanges, *, acknowledgement: Acknowledgement
    ) -> ChangeResult:
        """Set and remove metadata fields of the selected records."""
        del acknowledgement  # as in upsert
        self._require(None)
        selected = self._select(namespace, selector)
        for record in selected:
            kept = {field: value for field, value in record.metadata.items() if field not in changes.remove}
            self._namespaces[namespace][record.id] = replace(record, metadata=kept | dict(changes.set))
        return ChangeResult(len(selected), searchable=True, consistency_token=self._next_token())

    async def delete(
        self, namespace: str, selector: Selector, *, dry_run: bool, acknowledgement: Acknowledgement
    ) -> ChangeResult:
        """Remove the selected records; with `dry_run` only count them, and answer no token."""
        del acknowledgement  # as in upsert
        self._require(None)
        selected = self._select(namespace, selector)
        if dry_run:
            return ChangeResult(len(selected), searchable=True, consistency_token="")
        for record in selected:
            del self._namespaces[namespace][record.id]
        return ChangeResult(len(selected), searchable=True, consistency_token=self._next_token())

    async def search(self, namespace: str, queries: FloatMatrix, options: SearchOptions) -> Sequence[Hits]:
        """Compare every query with every record that passes the filter."""
        self._require(options.consistency_token)
        if queries.ndim != 2 or queries.shape[1] != self._spec.dimension:
            raise DimensionMismatchError(f"queries are of shape {queries.shape}, not (n, {self._spec.dimension})")
        candidates = self._matching(namespace, options.filter)
        explanation = Explanation("compared the query with every record that matches", {"candidates": len(candidates)})
        if not candidates:
            empty: list[Record] | None = None if options.fields.nothing else []
            return [Hits([], np.empty(0, np.float32), empty, explanation) for _ in queries]
        vectors = np.stack([record.vector for record in candidates]).astype(np.float64)
        return [
            _rank(candidates, SCORES[self._spec.metric](query, vectors), options, explanation)
            for query in queries.astype(np.float64)
        ]

    async def get(
        self, namespace: str, ids: Sequence[str], fields: Fields, *, consistency_token: str | None = None
    ) -> Sequence[Record | None]:
        """Read records by id."""
        self._require(consistency_token)
        records = self._namespaces.get(namespace, {})
        return [_project(records[record_id], fields) if record_id in records else None for record_id in ids]

    async def count(self, namespace: str, selector: Selector, *, consistency_token: str | None = None) -> int:
        """Count the selected records."""
        self._require(consistency_token)
        return len(self._select(namespace, selector))

    async def list_records(
        self,
        namespace: str,
        filter: Filter | None,  # noqa: A002  # the contract's word
        *,
        cursor: str | None,
        limit: int,
        fields: Fields,
        consistency_token: str | None = None,
    ) -> Page:
        """Page through records in the order of their ids; the cursor is the last id of the page before."""
        self._require(consistency_token)
        following = sorted(
            (record for record in self._matching(namespace, filter) if cursor is None or record.id > cursor),
            key=lambda record: record.id,
        )
        page = following[:limit]
        return Page([_project(record, fields) for record in page], page[-1].id if len(following) > limit else None)

    async def field_stats(
        self,
        namespace: str,
        field: str,
        filter: Filter | None,  # noqa: A002  # the contract's word
        *,
        limit: int,
        consistency_token: str | None = None,
    ) -> FieldStats:
        """Describe a metadata field over the records that match."""
        self._require(consistency_token)
        return describe_field((record.metadata for record in self._matching(namespace, filter)), field, limit)

    def _require(self, token: str | None) -> None:
        """Raise what `end` was told, or TokenInvalidError for a token that this collection never gave."""
        if self._ending is not None:
            raise self._ending()
        if token is None:
            return
        identity, _, sequence = token.partition(".")
        own = identity == self._identity and sequence.isascii() and sequence.isdigit()
        if not own or int(sequence) > self._sequence:
            raise TokenInvalidError("the consistency token is damaged or of another collection")

    def _next_token(self) -> str:
        self._sequence += 1
        return f"{self._identity}.{self._sequence}"

    def _matching(self, namespace: str, node: Filter | None) -> list[StoredRecord]:
        records = self._namespaces.get(namespace, {}).values()
        return [record for record in records if node is None or matches(node, record.metadata)]

    def _select(self, namespace: str, selector: Selector) -> list[StoredRecord]:
        match selector:
            case ByIds(ids):
                records = self._namespaces.get(namespace, {})
                return [records[record_id] for record_id in dict.fromkeys(ids) if record_id in records]
            case ByFilter(node):
                return self._matching(namespace, node)
            case Everything():
                return self._matching(namespace, None)


def _mode_error(mode: WriteMode, record_id: str, exists: bool) -> VecgateError | None:
    if mode is WriteMode.INSERT and exists:
        return RecordExistsError(f"a record with id {record_id!r} exists")
    if mode is WriteMode.UPDATE and not exists:
        return RecordNotFoundError(f"no record has id {record_id!r}")
    return None


def _rank(
    candidates: Sequence[StoredRecord], exact: Float64Array, options: SearchOptions, explanation: Explanation
) -> Hits:
    """Sort, cut and project; equal scores are those equal as float32, since that is what the caller sees."""
    with np.errstate(over="ignore"):  # an inner product beyond float32 is infinite
        scores = exact.astype(np.float32)
    seen = scores.tolist()
    order = sorted(range(len(candidates)), key=lambda row: (-seen[row], candidates[row].id))
    threshold = options.score_threshold
    kept = [row for row in order if threshold is None or seen[row] >= threshold][: options.top_k]
    records = None if options.fields.nothing else [_project(candidates[row], options.fields) for row in kept]
    return Hits([candidates[row].id for row in kept], scores[kept], records, explanation)


def _project(record: StoredRecord, fields: Fields) -> Record:
    """Copy the fields that were asked for, so that a caller cannot reach into the store."""
    wanted = fields.metadata
    chosen = {
        name: value
        for name, value in record.metadata.items()
        if (wanted if isinstance(wanted, bool) else name in wanted)
    }
    return Record(
        record.id,
        record.text if fields.text else None,
        chosen,
        record.vector.copy() if fields.vector else None,
        record.encoding_stamp if fields.encoding_stamp else b"",
    )
