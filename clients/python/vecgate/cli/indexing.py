"""Rows in, acknowledged records out, able to stop anywhere and continue."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Protocol, TypeVar

from vecgate.cli.checkpoint import Checkpoint, Position
from vecgate.cli.refusals import Refusals
from vecgate.cli.row_readers import Row
from vecgate.cli.settlement import Settlement
from vecgate.cli.sources import Source
from vecgate.errors import InvalidArgumentError
from vecgate.records import Record
from vecgate.results import UpsertProgress

RowSource = TypeVar("RowSource", bound=Source)
Item = TypeVar("Item")


class Store(Protocol):
    """Stores records of a namespace, in order, and tells what became of them."""

    def __call__(
        self, records: Iterator[Record], *, namespace: str, on_progress: Callable[[UpsertProgress], None]
    ) -> object:
        """Return when the fate of all is known and told.

        Raises:
            VecgateError: the server failed; what was told stands.
        """


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be stored, and how.

    Attributes:
        rows: reads the rows from the beginning.
        records: what is stored of a row, at least one record; raises InvalidArgumentError for a row that has none.
        namespace: where a row belongs.
        store: stores records and tells what became of them.
        checkpoint: remembers how far it came; None for what cannot be read twice.
        refusals: takes the records that were not stored.
    """

    rows: Callable[[], Generator[Row]]
    records: Callable[[Row], list[Record]]
    namespace: Callable[[Row], str]
    store: Store
    checkpoint: Checkpoint | None
    refusals: Refusals

    def run(self, start: Position, on_settled: Callable[[Position], None]) -> Position:
        """Store what lies behind `start`, tell the position whenever it moved, and return the last one.

        Raises:
            InputFault: the source is damaged.
            VecgateError: the server failed; the positions told so far stand.
        """
        settlement = Settlement(start, self.refusals)

        def settled(position: Position) -> None:
            if self.checkpoint is not None:
                self.checkpoint.save(position)
            on_settled(position)

        with closing(self.rows()) as every_row:
            for namespace, rows in groupby(islice(every_row, start.rows, None), self.namespace):
                settlement.begin_stream()
                self.store(
                    self._records(rows, settlement),
                    namespace=namespace,
                    on_progress=lambda progress: settled(settlement.hear(progress)),
                )
                settled(settlement.finish_stream())
        return settlement.position

    def _records(self, rows: Iterable[Row], settlement: Settlement) -> Iterator[Record]:
        for row in rows:
            try:
                records = self.records(row)
            except InvalidArgumentError as error:
                settlement.refuse(row, error)
            else:
                settlement.send(row, len(records))
                yield from records


def count_rows(source: RowSource, check_first: Callable[[Row, RowSource], None]) -> int | None:
    """Read a source through, so that what is wrong with it is known before anything is stored, and count its rows.

    Args:
        source: what to read.
        check_first: raises InputFault if the first row shows that it is not read as it is meant.

    Returns:
        None for what cannot be read twice.

    Raises:
        InputFault: a line cannot be parsed, or `check_first` objects.
    """
    return sum(1 for _ in checked(source, check_first)) if source.rereadable else None


def checked(source: RowSource, check_first: Callable[[Row, RowSource], None]) -> Generator[Row]:
    """Yield the rows of a source, the first one checked; as count_rows."""
    for number, row in enumerate(source.rows()):
        if number == 0:
            check_first(row, source)
        yield row


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of `size` items, the last one shorter."""
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
