"""Files that appear under their name when they are whole, and not before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file beside its place, and put it there at the end, on disk; what was begun and not finished is removed.

    Raises:
        OSError: it cannot be written.
    """
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        with unfinished.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(unfinished, path)  # noqa: PTH105  # says what it is for: an atomic replacement
    finally:
        unfinished.unlink(missing_ok=True)
