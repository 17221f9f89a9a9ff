"""Output that is whole or none: files that appear under their name at the end, streams that end where they were given up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class GivenUpStream:
    """A stream of bytes for writers that write their end when they are thrown away: once given up, it takes nothing more.

    Parquet's is one; what was cut off would look whole.
    """

    closed = False

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._position = 0
        self._given_up = False

    def write(self, data: bytes) -> int:
        """Take bytes."""
        size = memoryview(data).nbytes
        if not self._given_up:
            self._stream.write(data)
        self._position += size
        return size

    def tell(self) -> int:
        """Return how far it is."""
        return self._position

    def seek(self, position: int) -> int:
        """Go back; only where the stream can."""
        if not self._given_up:
            self._stream.seek(position)
        self._position = position
        return position

    def flush(self) -> None:
        """Hand on what was written."""
        if not self._given_up:
            self._stream.flush()

    def give_up(self) -> None:
        """Take nothing more."""
        self._given_up = True


@contextmanager
def given_up_on_failure(stream: IO[bytes]) -> Iterator[GivenUpStream]:
    """Wrap a stream, and give it up if the block fails."""
    wrapped = GivenUpStream(stream)
    try:
        yield wrapped
    except BaseException:
        wrapped.give_up()
        raise


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file beside its place, and put it there at the end, on disk; what was begun and not finished is removed.

    Raises:
        OSError: it cannot be written; the error names `path`.
    """
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        opened = unfinished.open("wb")
    except OSError as error:
        error.filename = str(path)
        raise
    try:
        with opened as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(unfinished, path)  # noqa: PTH105  # says what it is for: an atomic replacement
    finally:
        unfinished.unlink(missing_ok=True)
