"""What a server process holds: memory, file descriptors, threads, calls in hand; and whether it gives them back.

gRPC's own count of calls under way (channelz) is of no use here: it never counts calls as ended that were given up before their turn came.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.server import MIB, memory_of

EVERY_SECONDS = 0.5
SETTLE_SECONDS = 60.0
STOP_SECONDS = 5.0
"""A server that has no call in hand stops so soon; one that has waits for it, by default for 20 s."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds at a moment.

    Attributes:
        mebibytes: resident memory, its children's too.
        descriptors: open file descriptors.
        threads: of the process itself.
    """

    mebibytes: float
    descriptors: int
    threads: int


def held(process_id: int) -> Held:
    """Look at a server process now."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return Held(
        mebibytes=memory_of(process_id).rss / MIB,
        descriptors=len(list(Path(f"/proc/{process_id}/fd").iterdir())),
        threads=int(status.partition("Threads:")[2].split()[0]),
    )


def processor_seconds(process_id: int) -> float:
    """What a process and all below it took of the processors so far."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    below = [
        int(child)
        for children in Path(f"/proc/{process_id}/task").glob("*/children")
        for child in children.read_text().split()
    ]
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") + sum(map(processor_seconds, below))


@contextmanager
def watching_memory(process_id: int) -> Iterator[list[float]]:
    """Look at the resident memory (MiB) of a process and its children now and then, for the length of a with-block."""
    seen = [memory_of(process_id).rss / MIB]
    stopped = threading.Event()

    def watch() -> None:
        while not stopped.wait(EVERY_SECONDS):
            seen.append(memory_of(process_id).rss / MIB)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        stopped.set()
        thread.join()


def settled(process_id: int, wanted: Callable[[Held], bool], seconds: float = SETTLE_SECONDS) -> Held:
    """Wait until a server holds no more than is wanted, or long enough; return what it holds then."""
    end = time.monotonic() + seconds
    while not wanted(now := held(process_id)) and time.monotonic() < end:
        time.sleep(0.25)
    return now


def stops_with_nothing_in_hand(server: Any) -> bool:
    """Stop a server process; return whether it had no call to wait for, and ended well."""
    began = time.monotonic()
    code = server.stop()
    return code == 0 and time.monotonic() - began < STOP_SECONDS
