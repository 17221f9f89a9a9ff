"""What every row is given: vectors, sizes, servers with a filled collection."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.faiss.vectors import FloatMatrix, RealVectors
from benchmarks.server import ServerProcess, serving
from vecgate import IDS_ONLY, Client, Record

COLLECTION = "real"
BATCH = 1_000
TOP_K = 10
QUIET_SECONDS = 2.0
RESTED_SECONDS = 2 * QUIET_SECONDS + 2.0
"""A head that is sealed in one pause is merged in the next, and that seal may be too short to be seen between them."""
SHARES = 10_000
"""Values of the fields that filters select by: `random` is just that, `near` is how near a record is to ANCHOR among all."""
ANCHOR = 0
SETTLING_LIMIT = 7_200.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Attributes:
        records: of the collection.
        rounds: how often each side of a comparison has its turn.
        seconds: length of a turn under load.
        calls: calls of a turn of one caller.
        recall_queries: queries whose answers are compared with the exact ones.
    """

    records: int = 100_000
    rounds: int = 3
    seconds: float = 5.0
    calls: int = 500
    recall_queries: int = 500


FULL = Scale()
QUICK = Scale(records=3_000, rounds=2, seconds=1.0, calls=20, recall_queries=50)


@dataclass(frozen=True, slots=True)
class Bench:
    """The setting of a run.

    Attributes:
        everything: all vectors there are. vectors: as many records of them as the scale says.
        work: a folder for what is made, gone after the run.
    """

    scale: Scale
    everything: RealVectors
    vectors: RealVectors
    data: Path
    work: Path
    cores: int

    @contextmanager
    def server(self, name: str = "server", **options: Any) -> Iterator[ServerProcess]:
        """Serve an empty Faiss store with these options, and no model."""
        backends = {
            "faiss": {"kind": "faiss", "options": {"path": "./store", "quiet_seconds": QUIET_SECONDS} | options}
        }
        with serving(self.work, models={"preload": []}, backends=backends, name=name) as server:
            yield server

    @contextmanager
    def filled_server(self) -> Iterator[ServerProcess]:
        """Serve the records with their metadata, after all background work on them has ended."""
        with self.server() as server, server.client() as client:
            fill(client, self.vectors, range(self.scale.records))
            wait_until_settled(client)
            yield server


def fill(client: Client, vectors: RealVectors, rows: Sequence[int], collection: str = COLLECTION) -> float:
    """Make the collection if need be, and write records with metadata in batches; return the seconds of the writing."""
    if collection not in {each.name for each in client.list_collections().collections}:
        client.create_collection(collection, dimension=vectors.records.shape[1])
    near = nearness_ranks(vectors, rows)
    records = [
        Record(
            str(row),
            vector=vectors.records[row],
            metadata={"category": str(vectors.categories[row]), "random": share, "near": rank},
        )
        for row, share, rank in zip(rows, shares(rows).tolist(), near.tolist(), strict=True)
    ]
    began = time.perf_counter()
    for begin in range(0, len(records), BATCH):
        client.upsert(collection, records[begin : begin + BATCH], batch_size=BATCH)
    return time.perf_counter() - began


def shares(rows: Sequence[int]) -> NDArray[np.int64]:
    """Return 0 to SHARES - 1 a row, at random."""
    return np.random.default_rng(7).integers(0, SHARES, len(rows))


def nearness_ranks(vectors: RealVectors, rows: Sequence[int]) -> NDArray[np.int64]:
    """Return 0 to SHARES - 1 a row: the share of all rows that are nearer to the ANCHOR than it."""
    near = vectors.records[list(rows)] @ vectors.records[ANCHOR]
    ranks = np.empty(len(near), np.int64)
    ranks[np.argsort(-near, kind="stable")] = np.arange(len(near)) * SHARES // len(near)
    return ranks


def wait_until_settled(client: Client, collection: str = COLLECTION) -> float:
    """Wait until no rebuild of the index is under way, nor begins once writing has rested; return the seconds until then."""
    began = last_busy = time.perf_counter()
    while time.perf_counter() - last_busy < RESTED_SECONDS:
        if explained(client, collection)["rebuild_under_way"]:
            last_busy = time.perf_counter()
        if last_busy - began > SETTLING_LIMIT:
            raise TimeoutError("the index is still being built")
        time.sleep(0.1)
    return last_busy - began


def explained(client: Client, collection: str = COLLECTION) -> Mapping[str, Any]:
    """Return how a search is done now, in numbers."""
    query = np.zeros(384, np.float32)
    query[0] = 1
    result = client.search(collection, query, fields=IDS_ONLY, explain=True)
    assert result.explanation is not None
    return dict(result.explanation.details)


def exact_ids(records: FloatMatrix, queries: FloatMatrix, wanted: NDArray[np.bool_] | None = None) -> list[set[str]]:
    """Return the ids of the TOP_K nearest records to each query, among those wanted."""
    found: list[set[str]] = []
    rows = np.arange(len(records)) if wanted is None else np.flatnonzero(wanted)
    chosen = records if wanted is None else records[rows]
    for begin in range(0, len(queries), 100):
        near = queries[begin : begin + 100] @ chosen.T
        count = min(TOP_K, near.shape[1])
        best = np.argpartition(near, near.shape[1] - count, axis=1)[:, near.shape[1] - count :]
        found.extend({str(rows[at]) for at in own} for own in best.tolist())
    return found


def recall(found: Sequence[Sequence[str]], exact: Sequence[set[str]]) -> float:
    """Return the share of the exact ids that were found."""
    right = sum(len(set(ours) & theirs) for ours, theirs in zip(found, exact, strict=True))
    return right / sum(len(theirs) for theirs in exact)
