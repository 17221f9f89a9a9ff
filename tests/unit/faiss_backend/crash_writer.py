"""Writes into a store for ever and prints what was acknowledged, until it is killed; run by test_crash.py."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path

import numpy as np

from vecgate_backends.contract import ByIds
from vecgate_backends.errors import CollectionExistsError
from vecgate_backends.faiss import FaissBackend, FaissOptions, held_records
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.records import Acknowledgement, CollectionSpec, Metric, RecordBatch, Timestamp, WriteMode

DIMENSION = 8
WRITERS = 4


def say(event: str, record_id: str, version: int) -> None:
    """Print one event as a line of JSON; it leaves the process before anything else happens."""
    sys.stdout.write(json.dumps([event, record_id, version]) + "\n")
    sys.stdout.flush()


async def write(collection: FaissCollection, writer: int, first_version: int) -> None:
    """Put, replace and delete the records of one writer, in batches, announcing each before and after."""
    version = first_version
    while True:
        version += 1
        ids = [f"w{writer}-{(version * 7 + at) % 90:02}" for at in range(10)]
        for record_id in ids:
            say("began", record_id, version)
        if version % 5 == 0:
            selector = ByIds(tuple(ids))
            await collection.delete("", selector, dry_run=False, acknowledgement=Acknowledgement.SEARCHABLE)
            for record_id in ids:
                say("deleted", record_id, version)
            continue
        batch = RecordBatch(
            ids,
            np.full((10, DIMENSION), version, np.float32),
            [f"{record_id} v{version}" for record_id in ids],
            [
                {"version": version, "half": version / 2, "at": Timestamp(version, 1), "tags": (record_id,)}
                for record_id in ids
            ],
            [f"{record_id} v{version}".encode() for record_id in ids],
        )
        await collection.upsert("", batch, mode=WriteMode.UPSERT, acknowledgement=Acknowledgement.DURABLE)
        for record_id in ids:
            say("stored", record_id, version)


async def main(directory: Path, first_version: int) -> None:
    """Open the store, say so, and write until killed; with snapshots, however few records there are."""
    held_records.READ_WHOLE = 0
    backend = FaissBackend(FaissOptions(path=directory, seal_threshold=64))
    await backend.start()
    with contextlib.suppress(CollectionExistsError):
        await backend.create_collection(CollectionSpec("notes", DIMENSION, Metric.EUCLIDEAN))
    collection = await backend.collection("notes")
    say("open", "", 0)
    await asyncio.gather(*(write(collection, writer, first_version) for writer in range(WRITERS)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
