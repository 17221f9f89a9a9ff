"""Changes the index of a collection for ever and prints what it began and what was acknowledged, until it is killed; run by test_index_updates.py."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
from pathlib import Path

import numpy as np

from vecgate_backends.errors import CollectionExistsError
from vecgate_backends.faiss import FaissBackend, FaissOptions
from vecgate_backends.records import (
    Acknowledgement,
    CollectionSpec,
    FlatIndex,
    HnswIndex,
    IndexConfig,
    Quantization,
    RecordBatch,
    WriteMode,
)

DIMENSION = 8
ROWS = 900
THRESHOLD = 200
INDEXES: list[IndexConfig] = [
    HnswIndex(m=8),
    FlatIndex(),
    HnswIndex(m=12, quantization=Quantization.SCALAR8),
    HnswIndex(m=8, ef=99),
]
VECTORS = np.random.default_rng(3).standard_normal((ROWS, DIMENSION)).astype(np.float32)
IDS = [f"r{row:04}" for row in range(ROWS)]


def say(event: str, number: int) -> None:
    """Print one event as a line; it leaves the process before anything else happens."""
    sys.stdout.write(f"{event} {number}\n")
    sys.stdout.flush()


async def main(directory: Path) -> None:
    """Open the store and change the index until killed."""
    backend = FaissBackend(FaissOptions(path=directory, seal_threshold=THRESHOLD))
    await backend.start()
    with contextlib.suppress(CollectionExistsError):
        await backend.create_collection(CollectionSpec("notes", DIMENSION))
    collection = await backend.collection("notes")
    for begin in range(0, ROWS, THRESHOLD):
        ids = IDS[begin : begin + THRESHOLD]
        batch = RecordBatch(ids, VECTORS[begin : begin + THRESHOLD], [None] * len(ids), [{}] * len(ids))
        await collection.upsert("", batch, mode=WriteMode.UPSERT, acknowledgement=Acknowledgement.SEARCHABLE)
    for number in itertools.cycle(range(len(INDEXES))):
        say("began", number)
        await backend.update_collection("notes", INDEXES[number])
        say("changed", number)
        await asyncio.sleep(0.01 * number)  # so that a kill meets rebuilds at every stage


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
