"""Indexing a file: rows in, acknowledged records out, able to stop anywhere and continue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from vecgate.cli.checkpoint import Checkpoint, Position
from vecgate.cli.refusals import Refusals
from vecgate.cli.row_records import RowMapping
from vecgate.cli.sources import TYPED_FORMATS, Row, Source
from vecgate.errors import InvalidArgumentError
from vecgate.records import Record
from vecgate.results import UpsertResult

Upsert = Callable[[list[Record]], UpsertResult]


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be indexed, and how.

    Attributes:
        source: the file.
        mapping: where in a row the parts of a record are.
        batch_size: rows between two acknowledgements.
        upsert: stores records and tells what became of them.
        checkpoint: remembers how far it came; None for what cannot be read twice.
        refusals: takes the records that were not stored.
    """

    source: Source
    mapping: RowMapping
    batch_size: int
    upsert: Upsert
    checkpoint: Checkpoint | None
    refusals: Refusals

    def run(self, start: Position) -> Iterator[Position]:
        """Index what lies behind `start`, and yield the position after each acknowledged batch.

        Raises:
            InputFault: the file is damaged.
            VecgateError: the server failed; the positions yielded so far stand.
        """
        position = start
        rows = islice(checked(self.source, self.mapping.check_first), start.rows, None)
        for batch in batched(rows, self.batch_size):
            position = self._store(batch, position)
            if self.checkpoint is not None:
                self.checkpoint.save(position)
            yield position

    def _store(self, batch: list[Row], position: Position) -> Position:
        refused: list[tuple[Row, InvalidArgumentError]] = []
        sent: list[tuple[Row, Record]] = []
        for row in batch:
            try:
                empty_is_nothing = self.source.file_format not in TYPED_FORMATS
                sent.append((row, self.mapping.record(row, empty_is_nothing=empty_is_nothing)))
            except InvalidArgumentError as error:
                refused.append((row, error))
        result = self.upsert([record for _, record in sent])
        outcomes = [*refused, *((sent[failure.index][0], failure.error) for failure in result.failures)]
        for row, reason in sorted(outcomes, key=lambda outcome: outcome[0].line):
            self.refusals.add(row, reason)
        return Position(
            rows=position.rows + len(batch),
            stored=position.stored + result.stored,
            refused=position.refused + len(outcomes),
            refused_bytes=self.refusals.flush(),
            reused=position.reused + result.reused,
        )


def count_rows(source: Source, check_first: Callable[[Row, Source], None]) -> int | None:
    """Read a file through, so that what is wrong with it is known before anything is stored, and count its rows.

    Args:
        source: the file.
        check_first: raises InputFault if the first row shows that the file is not read as it is meant.

    Returns:
        None for what cannot be read twice.

    Raises:
        InputFault: a line cannot be parsed, or `check_first` objects.
    """
    return sum(1 for _ in checked(source, check_first)) if source.rereadable else None


def checked(source: Source, check_first: Callable[[Row, Source], None]) -> Iterator[Row]:
    """Yield the rows of a file, the first one checked; as count_rows."""
    for number, row in enumerate(source.rows()):
        if number == 0:
            check_first(row, source)
        yield row


def batched(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Yield lists of `size` rows, the last one shorter."""
    remaining = iter(rows)
    while batch := list(islice(remaining, size)):
        yield batch
