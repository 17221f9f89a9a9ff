"""Damage to any part of a derived file, or to what the manifest says of it, never changes an answer: the segment is built anew."""

from __future__ import annotations

import shutil
import sqlite3
import struct
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecgate_backends.answers import WriteResult
from vecgate_backends.contract import ByIds, SearchOptions
from vecgate_backends.faiss import FaissBackend, FaissOptions, index_building
from vecgate_backends.faiss.row_checksum import namespace_checksum
from vecgate_backends.records import (
    IDS_ONLY,
    Acknowledgement,
    CollectionSpec,
    FlatIndex,
    FloatVector,
    HnswIndex,
    IndexConfig,
    IvfIndex,
    Metric,
    Quantization,
)

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]
INDEXES = [FlatIndex(), HnswIndex(m=8), HnswIndex(m=8, quantization=Quantization.SCALAR8), IvfIndex()]
KINDS = pytest.mark.parametrize("index", INDEXES, ids=lambda index: index.kind)
THRESHOLD = 300
DIMENSION = 16
BLOCK = 4096
# Offset and size; see segment_file.
HEADER = {"magic": (0, 8), "format version": (8, 4), "dimension": (12, 4), "count": (16, 8)}
QUERIES = np.random.default_rng(1).standard_normal((4, DIMENSION)).astype(np.float32)


@dataclass(frozen=True)
class Sealed:
    """A closed store with one segment, some of whose records were deleted or replaced since, and its records."""

    store: Path
    records: Mapping[str, FloatVector]

    @property
    def file(self) -> Path:
        """The file of the segment."""
        (found,) = self.store.glob("collections/*/segments/*")
        return found

    @property
    def truth(self) -> Path:
        """The file with the records and the manifest."""
        return self.file.parent.parent / "records.db"


@pytest.fixture
async def sealed(index: IndexConfig, open_backend: OpenBackend, put: Put, directory: Path, monkeypatch: Any) -> Sealed:
    monkeypatch.setattr(index_building, "VECTORS_A_LIST", 8)
    stored = np.random.default_rng(2).standard_normal((THRESHOLD + 30, DIMENSION)).astype(np.float32)
    ids = [f"r{number:03}" for number in range(THRESHOLD)]
    backend = await open_backend(seal_threshold=THRESHOLD)
    await backend.create_collection(CollectionSpec("notes", DIMENSION, Metric.EUCLIDEAN, index=index))
    collection = await backend.collection("notes")
    await put(collection, ids, stored[:THRESHOLD])
    await backend.settle()
    await put(collection, ids[:20], stored[THRESHOLD : THRESHOLD + 20])
    await put(collection, [f"new{number}" for number in range(10)], stored[THRESHOLD + 20 :])
    gone = ByIds(tuple(ids[20:40]))
    await collection.delete("", gone, dry_run=False, acknowledgement=Acknowledgement.SEARCHABLE)
    await backend.close()
    records = dict(zip(ids, stored, strict=False)) | dict(zip(ids[:20], stored[THRESHOLD:], strict=False))
    records |= {f"new{number}": stored[THRESHOLD + 20 + number] for number in range(10)}
    return Sealed(directory, {record_id: records[record_id] for record_id in records if record_id not in gone.ids})


def damaged(contents: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the contents with each header field and each block changed in several ways, with a name for each."""
    blocks = {
        f"the block at {offset}": (offset, min(BLOCK, len(contents) - offset))
        for offset in range(0, len(contents), BLOCK)
    }
    for name, (offset, size) in (HEADER | blocks).items():
        for way, changed in _changes(contents, offset, size):
            yield f"{name} {way}", changed
        yield f"cut within {name}", contents[: offset + size // 2]
    yield "nothing left", b""
    yield "a byte too many", contents + b"\0"


def _changes(contents: bytes, offset: int, size: int) -> Iterator[tuple[str, bytes]]:
    part = contents[offset : offset + size]
    middle = size // 2
    flips = {
        "with a bit flipped": part[:middle] + bytes([part[middle] ^ 1]) + part[middle + 1 :],
        "zeroed": bytes(size),
    }
    for way, changed in flips.items():
        if changed != part:
            yield way, contents[:offset] + changed + contents[offset + size :]


async def check(backend: FaissBackend, records: Mapping[str, FloatVector]) -> None:
    """Every search gives what the vectors themselves give; one through an index may miss a record and is right about those it finds."""
    collection = await backend.collection("notes")
    assert (await collection.size()).records == len(records)
    vectors = np.stack(list(records.values())).astype(np.float64)
    for exact, top_k in ((True, 10), (False, 10), (False, len(records) + 5)):
        hits = await collection.search("", QUERIES, SearchOptions(top_k=top_k, exact=exact, fields=IDS_ONLY))
        for query, found in zip(QUERIES, hits, strict=True):
            scores = dict(zip(records, (-np.linalg.norm(vectors - query, axis=1)).tolist(), strict=True))
            ranking = sorted(scores, key=lambda record_id: -scores[record_id])
            wanted = ranking[:top_k] if exact or top_k > len(records) else sorted(found.ids, key=ranking.index)
            assert len(set(found.ids)) == min(top_k, len(records))
            assert list(found.ids) == wanted
            assert found.scores.tolist() == pytest.approx([scores[record_id] for record_id in wanted], rel=1e-6)


async def check_after(change: Callable[[Sealed], object], sealed: Sealed, *, dropped: bool) -> None:
    """Change a copy of the store, open it, and check its answers at once, when the index is settled, and after a reopen."""
    image = sealed.store.with_name("image")
    shutil.copytree(sealed.store, image)
    copy = Sealed(image, sealed.records)
    before = copy.file
    change(copy)
    for reopened in range(2):
        backend = FaissBackend(FaissOptions(path=image, seal_threshold=len(sealed.records)))
        await backend.start()
        try:
            await check(backend, sealed.records)
            if not reopened:
                await backend.settle()
                await check(backend, sealed.records)
            (segment,) = (await backend.collection("notes"))._partition("").segments
            assert len(segment.block) == (len(sealed.records) if dropped else THRESHOLD)
            assert (copy.file != before) is dropped
        finally:
            await backend.close()
    shutil.rmtree(image)


@contextmanager
def told(damage: str) -> Iterator[None]:
    """Let a failure name the damage."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"after this damage: {damage}")
        raise


def overwrite(contents: bytes, copy: Sealed) -> None:
    copy.file.write_bytes(contents)


@KINDS
async def test_a_segment_without_damage_is_loaded_as_it_is(index: IndexConfig, sealed: Sealed) -> None:
    assert struct.unpack_from("<8sIIQ", sealed.file.read_bytes())[2:] == (DIMENSION, THRESHOLD)
    await check_after(lambda _: None, sealed, dropped=False)


@KINDS
@pytest.mark.timeout(600)
async def test_no_damage_to_a_segment_file_changes_an_answer(index: IndexConfig, sealed: Sealed) -> None:
    for damage, contents in damaged(sealed.file.read_bytes()):
        with told(damage):
            await check_after(partial(overwrite, contents), sealed, dropped=True)


# What each column of the manifest may be changed to, as SQL; another's is that of another segment.
MANIFEST = {
    "uuid": ["'0123'", "x'00'"],
    "namespace": ["2", "99", "'one'"],
    "kind": ["'flat'", "'hnsw'", "'hnsw-scalar8'", "'ivf'", "'hnsv'", "''", "x'ff'"],
    "parameters": [
        """'{"index":{"kind":"flat"},"calibrated_ef":0}'""",
        """'{"index":{"kind":"hnsw","m":16,"ef_construction":200,"ef":64},"calibrated_ef":64}'""",
        """'{"index":{"kind":"hnsw-scalar8","m":16,"ef_construction":200,"ef":64},"calibrated_ef":64}'""",
        """'{"index":{"kind":"ivf","lists":null,"nprobe":null},"calibrated_ef":1}'""",
        "replace(parameters, '\"calibrated_ef\": ', '\"calibrated_ef\": 1')",
        "replace(parameters, 'calibrated', 'calibratee')",
        "replace(parameters, '}', '')",
        "''",
        "x'ff'",
    ],
    "count": ["count + 1", "count - 1", "0", "-1", "1 << 60", "'many'"],
    "checksum": ["x'00'", "zeroblob(16)", "'text'"],
    "first_internal_id": ["first_internal_id + 1", "-1", "'first'"],
    "last_internal_id": ["last_internal_id + 1", "1 << 60", "'last'"],
    "file_version": ["1", "2", "file_version + 1", "0", "'two'"],
}


def change_manifest(column: str, value: str, copy: Sealed) -> None:
    truth = sqlite3.connect(copy.truth)
    with closing(truth), truth:
        truth.execute(
            "INSERT INTO namespaces (id, name, checksum) VALUES (2, 'other', ?)", (namespace_checksum(2, b"other"),)
        )
        truth.execute(f"UPDATE segments SET {column} = {value}")


@KINDS
@pytest.mark.parametrize("column", MANIFEST)
async def test_no_damage_to_the_manifest_changes_an_answer(column: str, index: IndexConfig, sealed: Sealed) -> None:
    for value in MANIFEST[column]:
        if value == f"'{index.kind}'":
            continue  # no damage
        with told(f"{column} = {value}"):
            await check_after(partial(change_manifest, column, value), sealed, dropped=True)
