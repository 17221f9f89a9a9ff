"""Records that were not stored, written to a file with their reasons, so that they can be mended and indexed again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import BinaryIO

from vecgate.cli.display import plain
from vecgate.cli.row_readers import Row
from vecgate.errors import VecgateError

REFUSED_SUFFIX = ".refused.jsonl"
"""Ends the name of a file of refused records unless another is given."""

REASONS_SHOWN = 3
"""Refused records that the summary describes."""

PLACE_IN_BATCH = re.compile(r"\brecords\[\d+\](\.|: )?")
"""Begins the paths of wrong fields; here the line of the file says it better."""


class Refusals:
    """The refused records of one run: counted, the first ones described, all of them in the file."""

    def __init__(self, path: Path, *, kept_bytes: int) -> None:
        """Continue a file of refused records.

        Args:
            path: where it is, or will be at the first refusal.
            kept_bytes: its length when the run that is continued was last acknowledged; what follows comes again.
        """
        self.path = path
        self.examples: list[str] = []
        self._kept_bytes = kept_bytes
        self._file: BinaryIO | None = None

    def add(self, row: Row, error: VecgateError, record_id: str | None = None) -> None:
        """Note a record that was not stored.

        Args:
            row: what it was made of.
            error: why.
            record_id: its id, where one could be made.

        Raises:
            OSError: the file cannot be written.
        """
        message = PLACE_IN_BATCH.sub("", error.message)
        if len(self.examples) < REASONS_SHOWN:
            example = f"{row.place}: {message} ({error.reason})"
            # The name of a file may be no text.
            self.examples.append(example.encode(errors="backslashreplace").decode())
        entry = {
            "line": row.line,
            "id": record_id,
            "reason": error.reason,
            "message": message,
            "record": plain(row.values),
        }
        # What Parquet holds and JSON does not is told in words.
        self._opened().write(json.dumps(entry, default=str).encode() + b"\n")

    def flush(self) -> int:
        """Hand what was written to the system and return the file's length in bytes."""
        if self._file is not None:
            self._file.flush()
            self._kept_bytes = self._file.tell()
        return self._kept_bytes

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._file = self.path.open("r+b" if self._kept_bytes and self.path.exists() else "wb")
            self._file.truncate(self._kept_bytes)
            self._file.seek(0, 2)
        return self._file
