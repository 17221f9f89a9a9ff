"""Everything deleted and added again, ten times: what is left of it on disk and in memory."""

from __future__ import annotations

from pathlib import Path

from benchmarks.faiss.bench import COLLECTION, Bench, fill, wait_until_settled
from benchmarks.result import Measured, Row, at_most, figure
from benchmarks.server import MIB
from vecgate import Client

TIMES = 10
RECORDS_SHARE = 0.2


def measure(bench: Bench) -> Measured:
    """Measure after the first fill and after each turn, when all background work has ended."""
    rows = range(round(RECORDS_SHARE * bench.scale.records))
    disk: list[float] = []
    memory: list[float] = []
    with bench.server("churn") as server, server.client() as client:
        for turn in range(TIMES + 1):
            if turn:
                _delete_all(client)
            fill(client, bench.vectors, rows)
            wait_until_settled(client)
            disk.append(_disk_bytes(server.folder / "store") / MIB)
            memory.append(server.memory().pss / MIB)
    return Measured(
        figures=(
            figure("disk at first", "MiB", disk[:1]),
            figure("disk after each turn", "MiB", disk[1:]),
            figure("memory at first, PSS", "MiB", memory[:1]),
            figure("memory after each turn, PSS", "MiB", memory[1:]),
        ),
        verdicts=(
            at_most("disk in the end", "x", [disk[-1] / disk[0]], 1.3),
            at_most("memory in the end", "x", [memory[-1] / memory[0]], 1.3),
        ),
        notes=(f"{len(rows)} records, {TIMES} times",),
    )


def _delete_all(client: Client) -> None:
    client.delete(COLLECTION, all=True)


def _disk_bytes(store: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in store.rglob("*") if path.is_file())


ROW = Row("churn", "everything deleted and added again ten times", measure)
