"""Which rows of a source are settled: all their records stored or refused. Records' fates in, a position out."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from vecgate.cli.checkpoint import Position
from vecgate.cli.refusals import Refusals
from vecgate.cli.row_readers import Row
from vecgate.errors import VecgateError
from vecgate.results import UpsertProgress


@dataclass(frozen=True, slots=True)
class SentRow:
    """A row under way: its records are those from `begin` to before `end`, or it has a fault and none."""

    row: Row
    begin: int
    end: int
    fault: VecgateError | None = None


class Settlement:
    """Keeps rows in order until the fate of their records is known."""

    def __init__(self, start: Position, refusals: Refusals) -> None:
        self.position = start
        self._refusals = refusals
        self._under_way: deque[SentRow] = deque()
        self._failures: dict[int, tuple[str, VecgateError]] = {}
        self._sent = self._finished = 0
        self._before = start

    def begin_stream(self) -> None:
        """Count records from 0 again; every row sent before is settled."""
        self._sent = self._finished = 0
        self._before = self.position

    def send(self, row: Row, records: int) -> None:
        """Note that the next so many records are those of a row."""
        self._under_way.append(SentRow(row, self._sent, self._sent + records))
        self._sent += records

    def refuse(self, row: Row, fault: VecgateError) -> None:
        """Note that no record could be made of a row."""
        self._under_way.append(SentRow(row, self._sent, self._sent, fault))
        # A file without one good row would otherwise be held in memory.
        self._settle()

    def hear(self, progress: UpsertProgress) -> Position:
        """Take what is known of the records of this stream, and return the position."""
        self._failures |= {failure.index: (failure.id, failure.error) for failure in progress.failures}
        self._finished = progress.finished
        self._settle()
        self.position = replace(
            self.position,
            reused=self._before.reused + progress.reused,
            truncated=self.position.truncated + len(progress.truncated),
            reconnects=self._before.reconnects + progress.reconnects,
        )
        return self.position

    def finish_stream(self) -> Position:
        """Take it that every record of this stream was heard of, and return the position."""
        self._finished = self._sent
        self._settle()
        return self.position

    def _settle(self) -> None:
        rows = stored = refused = 0
        while self._under_way and self._under_way[0].end <= self._finished:
            sent = self._under_way.popleft()
            failed = self._note_refusals(sent)
            rows += 1
            refused += failed
            stored += sent.end - sent.begin - (failed if sent.fault is None else 0)
        self.position = replace(
            self.position,
            rows=self.position.rows + rows,
            stored=self.position.stored + stored,
            refused=self.position.refused + refused,
            refused_bytes=self._refusals.flush(),
        )

    def _note_refusals(self, sent: SentRow) -> int:
        if sent.fault is not None:
            self._refusals.add(sent.row, sent.fault)
            return 1
        failures = [self._failures.pop(index) for index in range(sent.begin, sent.end) if index in self._failures]
        for record_id, error in failures:
            self._refusals.add(sent.row, error, record_id)
        return len(failures)
