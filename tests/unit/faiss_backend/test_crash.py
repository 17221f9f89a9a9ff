"""kill -9 at any moment loses nothing that was acknowledged and brings nothing back."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from vecgate_backends.contract import Everything, SearchOptions
from vecgate_backends.errors import StoreLockedError
from vecgate_backends.faiss import FaissBackend, FaissOptions, held_records
from vecgate_backends.records import IDS_ONLY, Fields, Record, Timestamp

OpenBackend = Callable[..., Awaitable[FaissBackend]]
CYCLES = 4
WRITER = Path(__file__).with_name("crash_writer.py")


def killed_writer(directory: Path, first_version: int, lines: int) -> list[tuple[str, str, int]]:
    """Run the writer, kill it after so many lines, and return all that it said."""
    with subprocess.Popen(
        [sys.executable, str(WRITER), str(directory), str(first_version)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        said.extend(process.stdout)
    return [tuple(json.loads(line)) for line in said if line.endswith("\n")]


def files(directory: Path, pattern: str) -> set[Path]:
    return set(directory.glob(pattern))


class Ledger:
    """What the store must hold: for each record the versions that may stand, None for "not there"."""

    def __init__(self) -> None:
        self.allowed: dict[str, set[int | None]] = {}
        self.last_version = 0

    def note(self, event: str, record_id: str, version: int) -> None:
        """Follow one event: what began may have happened, what was acknowledged has, and nothing before it stands."""
        self.last_version = max(self.last_version, version)
        outcome = None if version % 5 == 0 else version
        if event == "began":
            self.allowed.setdefault(record_id, {None}).add(outcome)
        elif event in {"stored", "deleted"}:
            self.allowed[record_id] = {outcome}

    def settle(self, held: dict[str, int]) -> None:
        """After a reopen, what stands stands for good."""
        self.allowed = {record_id: {held.get(record_id)} for record_id in self.allowed}


def check(record: Record) -> int:
    """Check a record against its own version, types included, and return the version."""
    version = record.metadata["version"]
    assert isinstance(version, int)
    assert record.text == f"{record.id} v{version}"
    assert repr(record.metadata["half"]) == repr(version / 2)
    assert record.metadata["at"] == Timestamp(version, 1)
    assert record.metadata["tags"] == (record.id,)
    assert record.encoding_stamp == f"{record.id} v{version}".encode()
    np.testing.assert_array_equal(record.vector, np.full(8, version, np.float32))
    return version


async def test_what_was_acknowledged_is_there_once_after_a_kill(
    open_backend: OpenBackend, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_records, "READ_WHOLE", 0)  # as the writer has it
    moments = random.Random(3)
    ledger = Ledger()
    snapshots: set[Path] = set()
    for _ in range(CYCLES):
        for event in killed_writer(directory, ledger.last_version, moments.randrange(50, 2500)):
            ledger.note(*event)
        snapshots |= files(directory, "collections/*/snapshots/*.snapshot")
        backend = await open_backend(seal_threshold=64)
        collection = await backend.collection("notes")
        page = await collection.list_records("", None, cursor=None, limit=10_000, fields=IDS_ONLY)
        everything = Fields(vector=True, encoding_stamp=True)
        records = await collection.get("", [record.id for record in page.records], everything)
        held = {record.id: check(record) for record in records if record is not None}
        assert len(held) == len(page.records)
        assert {
            record_id for record_id in ledger.allowed if held.get(record_id) not in ledger.allowed[record_id]
        } == set()
        assert set(held) <= set(ledger.allowed)
        assert await collection.count("", Everything()) == len(held)
        (hits,) = await collection.search("", np.zeros((1, 8), np.float32), SearchOptions(top_k=10_000))
        expected = {record_id: -np.sqrt(8.0) * version for record_id, version in held.items()}
        assert dict(zip(hits.ids, hits.scores.tolist(), strict=True)) == pytest.approx(expected, rel=1e-5)
        ledger.settle(held)
        await backend.close()
    assert snapshots


@pytest.fixture
def other_process(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the store open."""
    with subprocess.Popen(
        [sys.executable, str(WRITER), str(directory), "0"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())[0] == "open"
        yield process
        process.kill()


async def test_a_store_is_refused_while_another_process_lives(
    directory: Path, other_process: subprocess.Popen[str]
) -> None:
    backend = FaissBackend(FaissOptions(path=directory))
    with pytest.raises(StoreLockedError):
        await backend.start()
    other_process.kill()
    other_process.wait()
    await backend.start()
    await backend.close()
