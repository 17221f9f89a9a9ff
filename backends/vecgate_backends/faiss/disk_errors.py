"""What the system's errors about files mean to who uses a store."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from vecgate_backends.errors import BackendUnavailableError, StorageFullError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def translated_disk_errors(what: str) -> Iterator[None]:
    """Turn the system's errors into this project's; `what` is the beginning of the sentence.

    Raises:
        StorageFullError: the disk, or what one may use of it, is full.
        BackendUnavailableError: anything else.
    """
    try:
        yield
    except OSError as error:
        kind = StorageFullError if error.errno in FULL else BackendUnavailableError
        raise kind(f"{what}: {error.strerror or error}") from error
