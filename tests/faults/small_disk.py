"""A disk of a few MiB for the servers of a test: a tmpfs in a mount namespace of its own, which needs no root where the system allows that.

The namespace is that of a process which only holds it, so that a disk survives the servers that used it; it is gone with that process.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_HOLD = 'mount -t tmpfs -o "size=$1" tmpfs "$2" && echo held && exec sleep infinity'


class NoSmallDiskError(Exception):
    """This system lets the test mount nothing; the message says why."""


@dataclass(frozen=True)
class SmallDisk:
    """The disk, mounted at `path` for those who run behind `prefix`; `seen` is the same folder as everybody else sees it."""

    path: Path
    holder: int

    @property
    def prefix(self) -> Sequence[str]:
        """What to put before a command, so that it sees the disk."""
        return ("nsenter", f"--target={self.holder}", "--user", "--mount", "--preserve-credentials")

    @property
    def seen(self) -> Path:
        """The folder from outside."""
        return Path(f"/proc/{self.holder}/root{self.path}")

    @property
    def free_bytes(self) -> int:
        """What may still be written."""
        found = os.statvfs(self.seen)
        return found.f_bavail * found.f_frsize

    def remount(self, options: str) -> None:
        """Change the options of the mount, such as "ro" or "size=8m"."""
        subprocess.run([*self.prefix, "mount", "-o", f"remount,{options}", self.path], check=True, timeout=30)


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[SmallDisk]:
    """Mount a disk of a size, such as "8m", over an empty folder.

    Raises:
        NoSmallDiskError: neither root nor user namespaces are to be had.
    """
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", _HOLD, "sh", size, str(path)]
    try:
        holder = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except FileNotFoundError as missing:
        raise NoSmallDiskError(f"{missing.filename} is not installed") from missing
    with holder:
        try:
            assert holder.stdout
            assert holder.stderr
            if holder.stdout.readline() != "held\n":
                raise NoSmallDiskError(holder.stderr.read().strip())
            yield SmallDisk(path, holder.pid)
        finally:
            holder.kill()
