"""Whatever was written before: the model is asked for exactly the texts that are not stored unchanged, and every vector is right."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecgate.v1.filter_pb2 import IdList, Selector
from vecgate.v1.metadata_pb2 import Value
from vecgate.v1.outcome_pb2 import TRUNCATION_POLICY_ERROR, TRUNCATION_POLICY_TRUNCATE
from vecgate.v1.record_pb2 import Record
from vecgate.v1.vector_pb2 import Vector
from vecgate.v1.write_pb2 import (
    WRITE_MODE_INSERT,
    WRITE_MODE_UPDATE,
    WRITE_MODE_UPSERT,
    DeleteRequest,
    UpdateMetadataRequest,
)

IDS = ("a", "b", "c", "d")
TEXTS = (
    "",
    "one",
    "one two",
    "one two three",
    "one two three four",
    "one two three five",
)  # the model reads three words
MAX_TOKENS = 3
GIVEN = [np.full(4, number, np.float32) for number in (1, 2)]


@dataclass(frozen=True, slots=True)
class Row:
    """A record to write: text, given vector (its number in GIVEN), or both."""

    id: str
    text: str | None
    given: int | None

    def message(self) -> Record:
        vector = None if self.given is None else Vector(packed=GIVEN[self.given].astype("<f4").tobytes())
        return Record(id=self.id, text=self.text, vector=vector)

    def too_long(self, truncation: int) -> bool:
        words = len((self.text or "").split())
        return self.given is None and truncation == TRUNCATION_POLICY_ERROR and words > MAX_TOKENS


@dataclass(slots=True)
class Oracle:
    """What is stored: each record as it was written, and its metadata."""

    rows: dict[str, Row] = field(default_factory=dict)
    years: dict[str, int] = field(default_factory=dict)

    def unchanged(self, row: Row) -> bool:
        """Whether the record is stored with this text, and its vector was made of it."""
        stored = self.rows.get(row.id)
        return stored is not None and stored.given is None and stored.text == row.text

    def write(self, row: Row, mode: int, truncation: int) -> str:
        """Follow a write; return the reason of its refusal, "" for none."""
        if row.too_long(truncation):
            return "TEXT_TOO_LONG"
        if mode == WRITE_MODE_INSERT and row.id in self.rows:
            return "RECORD_EXISTS"
        if mode == WRITE_MODE_UPDATE and row.id not in self.rows:
            return "RECORD_NOT_FOUND"
        self.rows[row.id] = row
        self.years.pop(row.id, None)
        return ""


@dataclass(frozen=True, slots=True)
class Upsert:
    """Write a batch; ids may come twice."""

    rows: tuple[Row, ...]
    mode: int
    truncation: int

    async def apply(self, bench: Any, oracle: Oracle) -> None:
        texts_alone = [row for row in self.rows if row.given is None]
        reused = [row.given is None and oracle.unchanged(row) for row in self.rows]
        expected = [row.text for row in texts_alone if not oracle.unchanged(row)]
        response, asked = await bench.upsert(
            *(row.message() for row in self.rows), mode=self.mode, truncation=self.truncation
        )
        assert asked == expected
        assert response.HasField("model") is bool(texts_alone)
        reasons = [oracle.write(row, self.mode, self.truncation) for row in self.rows]
        assert [outcome.error.reason for outcome in response.outcomes] == reasons
        for row, outcome, taken in zip(self.rows, response.outcomes, reused, strict=True):
            assert outcome.HasField("encoded") is (row.given is None and not row.too_long(self.truncation))
            if outcome.HasField("encoded"):
                words = len((row.text or "").split())
                told = outcome.encoded
                assert (told.tokens, told.truncated) == (min(words, MAX_TOKENS), words > MAX_TOKENS)
                assert told.reused is taken


@dataclass(frozen=True, slots=True)
class UpdateMetadata:
    """Set a field of some records."""

    ids: frozenset[str]
    year: int

    async def apply(self, bench: Any, oracle: Oracle) -> None:
        selector = Selector(ids=IdList(ids=self.ids))
        await bench.handlers.update_metadata(
            UpdateMetadataRequest(collection="notes", selector=selector, set={"year": Value(int_value=self.year)})
        )
        oracle.years |= dict.fromkeys(self.ids & oracle.rows.keys(), self.year)


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove some records."""

    ids: frozenset[str]

    async def apply(self, bench: Any, oracle: Oracle) -> None:
        await bench.handlers.delete(DeleteRequest(collection="notes", selector=Selector(ids=IdList(ids=self.ids))))
        for record_id in self.ids:
            oracle.rows.pop(record_id, None)
            oracle.years.pop(record_id, None)


@dataclass(frozen=True, slots=True)
class Reopen:
    """Close the backend and open it again."""

    async def apply(self, bench: Any, oracle: Oracle) -> None:
        del oracle
        await bench.reopen()


Step: TypeAlias = Upsert | UpdateMetadata | Delete | Reopen

_some = st.frozensets(st.sampled_from(IDS), min_size=1)
_given = st.none() | st.sampled_from(range(len(GIVEN)))
_rows = st.builds(Row, st.sampled_from(IDS), st.sampled_from(TEXTS), st.none() | _given) | st.builds(
    Row, st.sampled_from(IDS), st.none(), st.sampled_from(range(len(GIVEN)))
)
_upserts = st.builds(
    Upsert,
    st.lists(_rows, min_size=1, max_size=6).map(tuple),
    st.sampled_from((WRITE_MODE_UPSERT, WRITE_MODE_UPSERT, WRITE_MODE_INSERT, WRITE_MODE_UPDATE)),
    st.sampled_from((TRUNCATION_POLICY_ERROR, TRUNCATION_POLICY_TRUNCATE)),
)
_steps: st.SearchStrategy[Step] = st.one_of(
    _upserts, _upserts, st.builds(UpdateMetadata, _some, st.integers(0, 9)), st.builds(Delete, _some), st.just(Reopen())
)


async def check(bench: Any, oracle: Oracle) -> None:
    """Insist that each record is stored as it was written last, with the vector that its text has."""
    for record_id, record in zip(IDS, await bench.stored(*IDS), strict=True):
        row = oracle.rows.get(record_id)
        assert (record is None) is (row is None)
        if row is not None:
            expected = bench.vector_of(row.text) if row.given is None else GIVEN[row.given]
            assert (record.text, record.vector.tobytes()) == (row.text, expected.tobytes())
            year = oracle.years.get(record_id)
            assert record.metadata == ({} if year is None else {"year": year})


@pytest.mark.parametrize(("kind", "examples"), [("memory", 150), ("faiss", 40)])
def test_after_any_history_vectors_are_right_and_none_was_made_twice(
    kind: str, examples: int, tmp_path: Path, open_bench: Callable[..., Any]
) -> None:
    directories = (tmp_path / str(number) for number in range(1_000_000))

    async def run(history: list[Step]) -> None:
        async with open_bench(kind, next(directories)) as bench:
            oracle = Oracle()
            for step in history:
                await step.apply(bench, oracle)
                await check(bench, oracle)

    with asyncio.Runner() as runner:

        @settings(max_examples=examples, deadline=None)
        @given(st.lists(_steps, min_size=1, max_size=20))
        def holds(history: list[Step]) -> None:
            runner.run(run(history))

        holds()
