"""Files that are replaced as a whole, one change at a time, and who else may read them."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

OWNER_ONLY = 0o600
KUBERNETES_LINK = "..data"
"""The link by which Kubernetes changes all files of a Secret at once; its files are made readable for the pod, and are nobody else's."""


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep others who change files of the same directory waiting for the duration of a block.

    Raises:
        OSError: there is no such directory.
    """
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file beside the one of that path and put it in its place, on the disk for good.

    A new file is its owner's alone. One that exists keeps its mode and, where we may give it away, its owner: the server may run as another user.

    Raises:
        OSError: it cannot be written; what was there is there still.
    """
    path = path.resolve()
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as written:
        try:
            with suppress(FileNotFoundError):
                _take_after(written.fileno(), path.stat())
            written.write(content)
            written.flush()
            os.fsync(written.fileno())
            Path(written.name).replace(path)
        except BaseException:
            Path(written.name).unlink(missing_ok=True)
            raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def exposure(path: Path) -> str:
    """Say who else may read or change a file; "" where nobody but its owner may, or where Kubernetes keeps it."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return ""
    if not mode & ~OWNER_ONLY & 0o077 or (path.parent / KUBERNETES_LINK).is_symlink():
        return ""
    what = "changed" if mode & 0o022 else "read"
    return f"{path} may be {what} by others than its owner (its mode is {mode:04o}); chmod 600 keeps it to its owner"


def _take_after(descriptor: int, old: os.stat_result) -> None:
    if (os.geteuid(), os.getegid()) != (old.st_uid, old.st_gid):
        with suppress(PermissionError):
            os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
