"""The queries of one SearchBatch on their way in: each becomes a vector with its own options, or has a fault."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b

import numpy as np

from vecgate.v1.outcome_pb2 import EncodedText
from vecgate.v1.search_pb2 import BatchQuery
from vecgate_backends.contract import SearchOptions
from vecgate_backends.errors import InvalidArgumentError, RecordNotFoundError, VecgateError
from vecgate_backends.records import CollectionSpec, FloatMatrix, Record
from vecgate_server.config_limits import LimitSettings
from vecgate_server.translate.filters import filter_from_wire
from vecgate_server.translate.search import SearchPlan
from vecgate_server.validate import argument_rules
from vecgate_server.validate.vectors import read_vectors


class QueryIntake:
    """Checks queries; then takes encoded texts and stored vectors.

    Attributes:
        faults: None or the fault of each query, in the request's order.
        vectors: float32, shape (queries, dimension); rows of queries with a fault are not to be used.
        encoded: how the text of a query was read, by row.
    """

    def __init__(
        self, queries: Sequence[BatchQuery], plan: SearchPlan, spec: CollectionSpec, limits: LimitSettings
    ) -> None:
        """Begin with queries that were not looked at: check() is to come first."""
        self._queries = queries
        self._plan = plan
        self._spec = spec
        self._rerank = plan.rerank
        self._limits = limits
        self.faults: list[VecgateError | None] = [None] * len(queries)
        self.vectors: FloatMatrix = np.zeros((len(queries), spec.dimension), np.float32)
        self.encoded: dict[int, EncodedText] = {}
        self._options: list[SearchOptions] = []
        self._filters: list[bytes] = []

    async def check(self) -> None:
        """Find the fault of each query, and read what is good. Filters of thousands of conditions are read one in a step of the event loop."""
        common = _digest(self._plan.options)
        for row, query in enumerate(self._queries):
            options = self._read(row, query, self._plan.options)
            self._options.append(options)
            if options.filter is self._plan.options.filter:
                self._filters.append(common)
            else:
                self._filters.append(_digest(options))
                await asyncio.sleep(0)
        self._take_given_vectors(self._spec)

    def rows(self, kind: str) -> list[int]:
        """Rows without a fault whose query is of a kind: text, vector or id."""
        return [row for row in self._good() if self._queries[row].query.WhichOneof("input") == kind]

    def texts(self, rows: Sequence[int]) -> list[str]:
        """The texts of some rows."""
        return [self._queries[row].query.text for row in rows]

    def rerank_query(self, row: int) -> str:
        """The text that the matches of a query are scored against, if they are reranked."""
        query = self._queries[row]
        if query.HasField("rerank_query"):
            return query.rerank_query
        if self._rerank is None or self._rerank.query is None:
            return query.query.text
        return self._rerank.query

    def ids(self, rows: Sequence[int]) -> list[str]:
        """The ids of some rows."""
        return [self._queries[row].query.id for row in rows]

    def fail(self, faults: Mapping[int, VecgateError]) -> None:
        """Take the faults of some rows."""
        for row, fault in faults.items():
            self.faults[row] = fault

    def take_stored(self, rows: Sequence[int], records: Sequence[Record | None]) -> None:
        """Take the stored records of queries by id; one more match is asked for, since the record itself is left out."""
        for row, record in zip(rows, records, strict=True):
            if record is None or record.vector is None:
                identifier = self._queries[row].query.id
                self.faults[row] = RecordNotFoundError(
                    f"queries[{row}].query.id: there is no record {identifier!r} in this namespace"
                )
            else:
                self.vectors[row] = record.vector
                self._options[row] = replace(self._options[row], top_k=self._options[row].top_k + 1)

    def groups(self) -> list[tuple[SearchOptions, list[int]]]:
        """Gather rows that can be searched in one call of the backend, since their options are the same."""
        groups: dict[tuple[bytes, int], list[int]] = {}
        for row in self._good():
            groups.setdefault((self._filters[row], self._options[row].top_k), []).append(row)
        return [(self._options[rows[0]], rows) for rows in groups.values()]

    def _good(self) -> list[int]:
        return [row for row, fault in enumerate(self.faults) if fault is None]

    def _read(self, row: int, query: BatchQuery, options: SearchOptions) -> SearchOptions:
        path = f"queries[{row}]"
        try:
            self._check_input(query, f"{path}.query")
            self._check_rerank_query(query, f"{path}.rerank_query")
            if query.HasField("filter"):
                return replace(options, filter=filter_from_wire(query.filter, f"{path}.filter", self._limits))
        except InvalidArgumentError as fault:
            self.faults[row] = fault
        return options

    def _check_input(self, query: BatchQuery, path: str) -> None:
        match query.query.WhichOneof("input"):
            case "text":
                argument_rules.text(query.query.text, f"{path}.text", self._limits.max_text_bytes)
            case "id":
                argument_rules.record_id(query.query.id, f"{path}.id")
            case None:
                raise InvalidArgumentError.at(path, "set one of text, vector and id")

    def _check_rerank_query(self, query: BatchQuery, path: str) -> None:
        if query.HasField("rerank_query"):
            if self._rerank is None:
                raise InvalidArgumentError.at(path, "options.rerank is not set")
            argument_rules.text(query.rerank_query, path, self._limits.max_text_bytes)
        elif self._rerank and self._rerank.query is None and query.query.WhichOneof("input") != "text":
            raise InvalidArgumentError.at(
                path, "is required: a query by vector or id has no text to score matches against"
            )

    def _take_given_vectors(self, spec: CollectionSpec) -> None:
        rows = self.rows("vector")
        if rows:
            self.vectors[rows], faults = read_vectors(
                [self._queries[row].query.vector for row in rows],
                [f"queries[{row}].query.vector" for row in rows],
                dimension=spec.dimension,
                metric=spec.metric,
            )
            for row, fault in zip(rows, faults, strict=True):
                self.faults[row] = fault


def _digest(options: SearchOptions) -> bytes:
    """Tell filters apart: by text and not by value, since Eq("a", 1) and Eq("a", True) are equal to Python, and mean different things."""
    return blake2b(repr(options.filter).encode(), digest_size=16).digest()
