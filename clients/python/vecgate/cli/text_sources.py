"""Plain texts as sources of records: a file by lines, by paragraphs or whole, and a folder of such files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from vecgate.cli.faults import InputFault
from vecgate.cli.refusals import REFUSED_SUFFIX
from vecgate.cli.row_readers import Row, text_lines
from vecgate.cli.sources import STDIN, faults_of_text, file_identity, is_regular, opened_text
from vecgate.timestamps import Timestamp

EVERY_FILE = ("**/*",)


def _lines(text: TextIO, name: str) -> Iterator[tuple[int | None, int, str]]:
    for row in text_lines(text, name):
        if row.values["text"].strip():
            yield row.line, row.line, row.values["text"]


def _paragraphs(text: TextIO, name: str) -> Iterator[tuple[int | None, int, str]]:
    begun: list[str] = []
    line = 0
    for row in text_lines(text, name):
        line, content = row.line, row.values["text"].rstrip()
        if content:
            begun.append(content)
        elif begun:
            yield line - len(begun), line - 1, "\n".join(begun)
            begun = []
    if begun:
        yield line - len(begun) + 1, line, "\n".join(begun)


def _whole(text: TextIO, name: str) -> Iterator[tuple[int | None, int, str]]:
    content = text.read()
    if "\0" in content:
        raise InputFault(f"{name}: holds a zero byte; this is no text file")
    yield None, content.count("\n") + 1, content


SPLITS: Mapping[str, Callable[[TextIO, str], Iterator[tuple[int | None, int, str]]]] = {
    "line": _lines,
    "paragraph": _paragraphs,
    "file": _whole,
}
"""What one record is → how to cut a text: first line (None for the whole), last line, content. Blank lines are no records."""


@dataclass(frozen=True, slots=True)
class TextFile:
    """A plain text; `path` "-" is stdin. Ids are the file's name with the line where the record begins: notes.txt:12."""

    path: str
    split: str

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return "stdin" if self.path == STDIN else self.path

    @property
    def file_format(self) -> str:
        """Plain text."""
        return "txt"

    @property
    def rereadable(self) -> bool:
        """Whether it is a regular file."""
        return is_regular(self.path)

    def rows(self) -> Generator[Row]:
        """Yield a row a record; as Source.rows."""
        return _text_rows(self.path, Path(self.name).name, self.name, self.split)

    def identity(self) -> list[object]:
        """Return what tells this file, cut like this, from another."""
        return [*file_identity(Path(self.path)), self.split]


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of a folder that match a pattern, in the order of their paths; ids are the paths within the folder.

    Hidden files, those in hidden folders, and files of refused records are left out, unless a pattern names them.
    """

    path: str
    patterns: Sequence[str]
    split: str

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return self.path

    @property
    def file_format(self) -> str:
        """Plain text."""
        return "txt"

    @property
    def rereadable(self) -> bool:
        """It is."""
        return True

    def rows(self) -> Generator[Row]:
        """Yield a row a record; as Source.rows.

        Raises:
            InputFault: no file matches.
        """
        files = self._files()
        if not files:
            raise InputFault(
                f"{self.path}: no file matches {' or '.join(self.patterns)}", "pass --glob, such as '**/*.md'"
            )
        for file in files:
            relative = file.relative_to(self.path).as_posix()
            yield from _text_rows(str(file), relative, relative, self.split)

    def identity(self) -> list[object]:
        """Return what tells this folder from what it was: names, sizes and times of change of its files."""
        listing = hashlib.sha256()
        for file in self._files():
            status = file.stat()
            listing.update(repr((file.as_posix(), status.st_size, status.st_mtime_ns)).encode())
        return [str(Path(self.path).resolve()), listing.hexdigest(), self.split]

    def _files(self) -> list[Path]:
        root = Path(self.path)
        found: set[Path] = set()
        for pattern in self.patterns:
            hidden = any(part.startswith(".") for part in Path(pattern).parts)
            refused = pattern.endswith(REFUSED_SUFFIX)
            for file in root.glob(pattern):
                shown = hidden or not any(part.startswith(".") for part in file.relative_to(root).parts)
                if shown and (refused or not file.name.endswith(REFUSED_SUFFIX)) and file.is_file():
                    found.add(file)
        return sorted(found, key=lambda file: file.relative_to(root).as_posix())


def _text_rows(path: str, record_name: str, name: str, split: str) -> Generator[Row]:
    about: dict[str, object] = {"path": name}
    if path != STDIN:
        status = Path(path).stat()
        about |= {"modified": Timestamp(*divmod(status.st_mtime_ns, 10**9)), "bytes": status.st_size}
    with faults_of_text(name), opened_text(path) as text:
        for first, last, content in SPLITS[split](text, name):
            if first is None:
                yield Row(last, {"id": record_name, "text": content, **about}, part=f"{name}: line")
            else:
                place = {"id": f"{record_name}:{first}", "text": content, **about, "line": first}
                yield Row(last, place, part=f"{name}: line")
