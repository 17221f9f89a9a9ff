"""Where rows come from: files of rows, also gzipped, stdin, and (see text_sources) plain texts and folders."""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import sys
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

from vecgate.cli.faults import InputFault
from vecgate.cli.parquet import parquet_rows
from vecgate.cli.row_readers import READERS, Row

STDIN = "-"
HEAD_BYTES = 65_536
"""Bytes of a file's beginning that go into its identity."""

GZIP_MARK = b"\x1f\x8b"
"""Begins gzip data, and no text in UTF-8."""

SUFFIXES: Mapping[str, str] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".txt": "txt",
    ".text": "txt",
    ".md": "txt",
    ".rst": "txt",
}
"""Suffix of a file, `.gz` taken off → its format."""
FORMATS = (*READERS, "parquet")
"""Every format that a file of rows can have."""
CELL_FORMATS = frozenset({"csv", "tsv"})
"""Formats in which everything is text and an empty cell means nothing."""
COLUMN_FORMATS = frozenset({"csv", "tsv", "parquet", "txt"})
"""Formats in which every row has the same fields."""


class Source(Protocol):
    """Rows to read, as often as needed if it is `rereadable`."""

    @property
    def name(self) -> str:
        """What to call it in messages."""

    @property
    def file_format(self) -> str:
        """One of FORMATS."""

    @property
    def rereadable(self) -> bool:
        """Whether it can be read from the start again."""

    def rows(self) -> Generator[Row]:
        """Yield the rows.

        Raises:
            InputFault: what is there is damaged or not of its format; the message names the place.
        """

    def identity(self) -> list[object]:
        """Return what tells it from a source that is another or has changed, in terms of JSON."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file of rows; `path` "-" is stdin."""

    path: str
    file_format: str

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return "stdin" if self.path == STDIN else self.path

    @property
    def rereadable(self) -> bool:
        """Whether it is a regular file, so that it can be read from the start again."""
        return is_regular(self.path)

    def rows(self) -> Generator[Row]:
        """Yield the rows; as Source.rows."""
        if self.file_format == "parquet":
            yield from parquet_rows(self.path)
            return
        line = 0
        with faults_of_text(self.name, lambda: f", after line {line}"), opened_text(self.path) as text:
            for row in READERS[self.file_format](text, self.name):
                line = row.line
                yield row

    def identity(self) -> list[object]:
        """Return path, size, time of change, and a digest of the beginning."""
        return file_identity(Path(self.path))


def source(path: str, file_format: str | None, formats: Sequence[str]) -> FileSource:
    """Take a path and its format, which the suffix tells unless it is given; stdin is JSON lines.

    Args:
        path: of a file, or "-" for stdin.
        file_format: one of `formats`, or None.
        formats: those that the caller can use.

    Raises:
        InputFault: the suffix tells nothing, or Parquet is not in a file of its own.
    """
    suffix = Path(path.removesuffix(".gz")).suffix.lower()
    chosen = file_format or ("jsonl" if path == STDIN else SUFFIXES.get(suffix))
    if chosen is None or chosen not in formats:
        raise InputFault(f"{path}: the suffix {suffix!r} tells no usable format", f"pass --format {'|'.join(formats)}")
    if chosen == "parquet" and (path == STDIN or path.endswith(".gz")):
        raise InputFault(f"{path}: Parquet is read from its end, so neither from stdin nor out of gzip", "name a file")
    return FileSource(path, chosen)


def is_regular(path: str) -> bool:
    """Return whether a path is a regular file, and not stdin, a pipe or a device."""
    return path != STDIN and stat.S_ISREG(Path(path).stat().st_mode)


def file_identity(path: Path) -> list[object]:
    """Return what tells a file from another, or from what it was."""
    status = path.stat()
    with path.open("rb") as stream:
        head = hashlib.sha256(stream.read(HEAD_BYTES)).hexdigest()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns, head]


@contextmanager
def opened_text(path: str) -> Iterator[TextIO]:
    """Open UTF-8 text, out of gzip where the suffix says so; "-" is stdin, which stays open."""
    if path == STDIN:
        # The process's own text stream may have another encoding.
        text = io.TextIOWrapper(sys.stdin.buffer, "utf-8-sig", newline="")
        try:
            yield text
        finally:
            text.detach()
        return
    opener: Callable[..., Any] = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8-sig", newline="") as text:
        yield text


@contextmanager
def faults_of_text(name: str, place: Callable[[], str] = str) -> Iterator[None]:
    """Turn what reading a text can raise into a fault of the input; `place` says how far it came."""
    try:
        yield
    except UnicodeDecodeError as error:
        if error.object.startswith(GZIP_MARK):
            raise InputFault(f"{name}: gzip data", "gunzip -c makes text of it; a file's name ends with .gz") from error
        raise InputFault(
            f"{name}: not UTF-8 text{place()}: {error.reason}", "iconv turns other encodings into UTF-8"
        ) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputFault(f"{name}: damaged gzip data{place()}: {error}") from error
