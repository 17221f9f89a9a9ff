"""The processes behind a server that has several: which they are, and which of them holds a connection. Linux alone tells."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

MODULE = b"vecgate_server.processes.server_process"
SOCKET = re.compile(r"socket:\[(\d+)\]")
ESTABLISHED = "01"
WAIT_SECONDS = 30.0


def server_processes(supervisor: int) -> set[int]:
    """Return the ids of the server processes of a supervisor."""
    found = set()
    for children in Path(f"/proc/{supervisor}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            with suppress(FileNotFoundError, ProcessLookupError):
                if MODULE in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.add(child)
    return found


def connections(process: int, port: int) -> int:
    """Count the connections to a port that a process holds."""
    inodes = set()
    # gRPC may speak IPv4 over a socket of IPv6.
    lines = [line for table in ("tcp", "tcp6") for line in Path("/proc/net", table).read_text().splitlines()[1:]]
    for line in lines:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == ESTABLISHED:
            inodes.add(fields[9])
    held = set()
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):
            if found := SOCKET.fullmatch(str(descriptor.readlink())):
                held.add(found[1])
    return len(inodes & held)


def is_running(process: int) -> bool:
    """Whether a process exists and is more than a zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait until it holds, half a minute at most."""
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)
