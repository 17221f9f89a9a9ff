"""The lock that keeps a store to one process; the system releases it when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from vecgate_backends.errors import StoreLockedError

LOCK_NAME = "LOCK"


class DirectoryLock:
    """Holds the lock file of a directory from construction to release(); unless `make`, the file must be there.

    Raises:
        StoreLockedError: another process, or another backend of this one, holds it.
        OSError: the file cannot be made or opened.
    """

    def __init__(self, directory: Path, *, make: bool = True) -> None:
        access = os.O_RDWR | os.O_CREAT if make else os.O_RDONLY
        self._descriptor = os.open(directory / LOCK_NAME, access | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as held:
            os.close(self._descriptor)
            raise StoreLockedError(f"another process has the store at {directory} open") from held
        except BaseException:
            os.close(self._descriptor)
            raise

    def release(self) -> None:
        """Let go of the directory."""
        os.close(self._descriptor)
