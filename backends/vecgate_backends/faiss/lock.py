"""The lock that keeps a store to one process; the system releases it when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from vecgate_backends.errors import ConfigurationError, StoreLockedError

LOCK_NAME = "LOCK"
UNFINISHED = b"a backup that is not whole\n"
"""What the lock file of a directory says while a backup grows there; that of a store is empty."""


class DirectoryLock:
    """Holds the lock file of a directory from construction to release(); unless `make`, the file must be there.

    Raises:
        StoreLockedError: another process, or another backend of this one, holds it.
        ConfigurationError: a backup that did not end left the directory, and `unfinished` does not ask for such a one.
        OSError: the file cannot be made or opened.
    """

    def __init__(self, directory: Path, *, make: bool = True, unfinished: bool = False) -> None:
        access = os.O_RDWR | os.O_CREAT if make else os.O_RDONLY
        self._descriptor = os.open(directory / LOCK_NAME, access | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not unfinished:
                refuse_unfinished(directory)
        except BlockingIOError as held:
            os.close(self._descriptor)
            raise StoreLockedError(f"another process has the store at {directory} open") from held
        except BaseException:
            os.close(self._descriptor)
            raise

    def release(self) -> None:
        """Let go of the directory."""
        os.close(self._descriptor)


def refuse_unfinished(directory: Path) -> None:
    """Raise ConfigurationError if a backup that did not end left this directory; OSError: its lock file cannot be read."""
    file = directory / LOCK_NAME
    if file.exists() and file.read_bytes() == UNFINISHED:
        raise ConfigurationError(f"{directory} was left by a backup that did not end; make that backup again")
