"""Exports, read as a stream: a Source of rows whose settings are known before the first."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

from vecgate.cli.export_format import END, HEADER, Settings
from vecgate.cli.faults import InputFault
from vecgate.cli.parquet import open_parquet, parquet_rows
from vecgate.cli.row_readers import Row, json_rows
from vecgate.cli.sources import FileSource, faults_of_text, opened_text

NO_EXPORT = "vecgate export writes such files; other files are for vecgate index"


@dataclass(frozen=True, slots=True)
class OpenedExport:
    """The settings of an export, and its rows from the first on."""

    settings: Settings
    rows: Generator[Row]


@dataclass(frozen=True, slots=True)
class ExportSource:
    """A file that `vecgate export` wrote, or its JSON lines on stdin."""

    file: FileSource

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return self.file.name

    @property
    def file_format(self) -> str:
        """JSON lines or Parquet."""
        return self.file.file_format

    @property
    def rereadable(self) -> bool:
        """Whether it is a regular file."""
        return self.file.rereadable

    def identity(self) -> list[object]:
        """Return what tells this file from another."""
        return self.file.identity()

    def rows(self) -> Generator[Row]:
        """Yield the records; as Source.rows. An export that was cut off is refused where it ends."""
        return self.open().rows

    def open(self) -> OpenedExport:
        """Read the settings, and go on to the rows from there.

        Raises:
            InputFault: it is no export, or is damaged.
        """
        return self._open_parquet() if self.file_format == "parquet" else self._open_json_lines()

    def _open_parquet(self) -> OpenedExport:
        header = parquet_settings(self.file.path)
        if header is None:
            raise InputFault(f"{self.name}: a Parquet file without the settings of a collection", NO_EXPORT)
        try:
            settings = json.loads(header)
        except ValueError as error:
            raise InputFault(f"{self.name}: the settings of the export are damaged: {error}") from error
        rows = (_with_metadata(row, self.name) for row in parquet_rows(self.file.path))
        return OpenedExport(Settings.from_json(settings, self.name), rows)

    def _open_json_lines(self) -> OpenedExport:
        lines = self._lines()
        first = next(lines, None)
        if first is None or first.values.keys() != {HEADER}:
            raise InputFault(f"{self.name}: does not begin with the settings of a collection", NO_EXPORT)
        return OpenedExport(Settings.from_json(first.values[HEADER], self.name), self._until_end(lines))

    def _lines(self) -> Generator[Row]:
        with faults_of_text(self.name), opened_text(self.file.path) as text:
            yield from json_rows(text, self.name)

    def _until_end(self, lines: Generator[Row]) -> Generator[Row]:
        records = 0
        for row in lines:
            if row.values.keys() == {END}:
                self._check_end(row.values[END], records, next(lines, None))
                return
            records += 1
            yield row
        raise InputFault(f"{self.name}: cut off after {records:,} records", "export the collection again")

    def _check_end(self, end: Any, records: int, following: Row | None) -> None:
        counted = end.get("records") if isinstance(end, dict) else None
        if counted != records or following is not None:
            raise InputFault(
                f"{self.name}: holds {records:,} records before its end, which counts {counted}",
                "export the collection again",
            )


def parquet_settings(path: str) -> bytes | None:
    """Return the settings that an export has in a Parquet file's metadata; None in any other Parquet file."""
    with open_parquet(path) as opened:
        found: bytes | None = (opened.schema_arrow.metadata or {}).get(HEADER.encode())
    return found


def export_fault(name: str) -> InputFault:
    """Return the refusal of an export where rows of any kind are read, which would lose what it is."""
    return InputFault(f"{name}: an export of a collection", "vecgate import stores it")


def _with_metadata(row: Row, name: str) -> Row:
    try:
        metadata = json.loads(row.values["metadata"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputFault(f"{name}: {row.place} has no metadata that can be read: {error}") from error
    return replace(row, values={**row.values, "metadata": metadata})
