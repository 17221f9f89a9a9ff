"""upsert_many() on real servers: killed, stopped and replaced while it streams, nothing is lost and little is done twice."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emulators.qdrant_server import QdrantEmulator
from faults.killed_server import KilledServer, Killer

from vecgate import AsyncClient, Client, Fields, Record, UpsertProgress

SYNSETS = 2_000
KILL_MARKS = (200, 550, 900, 1_250, 1_600)
WINDOW = 256
VECTORS = 5_000


def synsets(folder: Path, count: int) -> list[Record]:
    with gzip.open(folder / "wordnet" / "synsets.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in islice(lines, count)]
    return [Record(row["_id"], row["text"], metadata={"category": row["metadata"]["category"]}) for row in rows]


@pytest.mark.model
@pytest.mark.timeout(600)
def test_five_kills_lose_no_record_and_cost_no_more_than_a_window_each(
    start_server: Any, test_data: Path, unused_tcp_port_factory: Any
) -> None:
    records = synsets(test_data, SYNSETS)
    settings = {"limits": {"stream_window_records": WINDOW}}
    server = KilledServer(start_server, settings, [unused_tcp_port_factory(), unused_tcp_port_factory()])
    told: list[UpsertProgress] = []
    with Client(server.address) as client:
        client.wait_ready()
        client.create_collection("wordnet")
        with Killer(server, KILL_MARKS) as killer:

            def note(progress: UpsertProgress) -> None:
                told.append(progress)
                killer.reach(progress.finished)

            result = client.upsert_many("wordnet", iter(records), on_progress=note)
        assert (result.stored, result.failed, killer.kills) == (SYNSETS, 0, len(KILL_MARKS))
        assert told[-1].reconnects >= len(KILL_MARKS)
        assert client.count("wordnet") == SYNSETS
        everything = Fields(text=True, metadata=True, vector=True)
        stored = {record.id: record for record in client.list("wordnet", fields=everything)}
        assert {id_: (record.text, record.metadata) for id_, record in stored.items()} == {
            record.id: (record.text, record.metadata) for record in records
        }
        encoded = server.encoded + server.encoded_in_this_life()
        assert SYNSETS * 0.9 < encoded <= SYNSETS + WINDOW * len(KILL_MARKS)
        some = records[::40]
        expected = client.encode([record.text or "" for record in some], "document").vectors
        found = np.stack([np.asarray(stored[record.id].vector) for record in some])
        assert (np.einsum("ij,ij->i", found, expected) > 0.9999).all()


def vector_records() -> Iterator[Record]:
    chance = np.random.default_rng(3)
    for number in range(VECTORS):
        yield Record(f"id-{number % 4_000}", f"text {number}", vector=chance.standard_normal(8, np.float32))


@pytest.fixture
def emulator() -> Iterator[QdrantEmulator]:
    server = QdrantEmulator()
    yield server
    server.stop()


def test_a_replica_that_stops_hands_its_stream_over_to_the_other(
    emulator: QdrantEmulator, start_server: Any, unused_tcp_port_factory: Any
) -> None:
    options = {"host": "127.0.0.1", "grpc_port": emulator.port}
    ports = [unused_tcp_port_factory(), unused_tcp_port_factory()]

    def start(port: int) -> Any:
        backends = {"qdrant": {"kind": "qdrant", "options": options}}
        common = {"models": {"preload": []}, "backends": backends, "limits": {"stream_window_records": WINDOW}}
        return start_server(common | {"server": {"port": port}})

    servers = [start(port) for port in ports]
    steps = iter(
        [(500, servers[0].stop), (1_500, lambda: start(ports[0])), (2_500, servers[1].stop), (VECTORS + 1, id)]
    )
    mark, step = next(steps)
    told: list[UpsertProgress] = []

    def note(progress: UpsertProgress) -> None:
        nonlocal mark, step
        told.append(progress)
        if progress.finished >= mark:
            step()
            mark, step = next(steps)

    target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
    with Client(target) as client:
        client.create_collection("notes", dimension=8)
        result = client.upsert_many("notes", vector_records(), batch_size=50, on_progress=note)
        assert (result.stored, result.failed) == (VECTORS, 0)
        assert told[-1].reconnects >= 1
        texts = {record.id: record.text for record in client.list("notes")}
    assert texts == {f"id-{number % 4_000}": f"text {number}" for number in range(VECTORS)}


async def test_both_clients_stream_to_a_real_server_and_agree(memory_server: Any) -> None:
    bad = Record("no-dimension", vector=[1.0])
    records = [*islice(vector_records(), 600), bad, *islice(vector_records(), 600)]
    with Client(memory_server.address) as client:
        client.create_collection("blocking", dimension=8)
        client.create_collection("asynchronous", dimension=8)
        blocking = client.upsert_many("blocking", records)
        async with AsyncClient(memory_server.address) as other:
            asynchronous = await other.upsert_many("asynchronous", records)
        for result, name in ((blocking, "blocking"), (asynchronous, "asynchronous")):
            assert (result.stored, result.failed, result.searchable) == (1_200, 1, True)
            assert [(each.index, each.id, each.error.reason) for each in result.failures] == [
                (600, "no-dimension", "DIMENSION_MISMATCH")
            ]
            assert client.count(name, consistency_token=result.consistency_token) == 600
