"""Another index for a collection: kept at once, followed by searches at once, and built in the background, whatever comes in between."""

from __future__ import annotations

import asyncio
import errno
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.faiss_backend import crash_updater

from vecgate_backends.answers import WriteResult
from vecgate_backends.contract import SearchOptions
from vecgate_backends.errors import BackendUnavailableError, StorageFullError
from vecgate_backends.faiss import FaissBackend, rebuild, sealing, segment_file
from vecgate_backends.faiss.catalogue import Catalogue
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.faiss.index_building import build_settings
from vecgate_backends.faiss.segment_parameters import SegmentParameters
from vecgate_backends.records import (
    IDS_ONLY,
    CollectionSpec,
    FlatIndex,
    FloatMatrix,
    HnswIndex,
    IndexConfig,
    IvfIndex,
    Metric,
    Quantization,
)

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]

DIMENSION = 16
THRESHOLD = 4500  # so many that a walk costs less than comparing with every vector
SEGMENTS = 2
ROWS = SEGMENTS * THRESHOLD
EACH_CHANGE = pytest.mark.parametrize(
    ("before", "after"),
    [
        (HnswIndex(), HnswIndex(m=8)),
        (None, HnswIndex(ef_construction=40)),
        (HnswIndex(), HnswIndex(quantization=Quantization.SCALAR8)),
        (HnswIndex(), IvfIndex(lists=24)),
        (IvfIndex(), HnswIndex()),
        (IvfIndex(), IvfIndex(lists=20)),
        (HnswIndex(m=8), None),
        (HnswIndex(), FlatIndex()),
        (FlatIndex(), IvfIndex()),
    ],
    ids=str,
)
PLANS = {
    "flat": "exact over",
    "hnsw": "HNSW walk over",
    "hnsw-scalar8": "8-bit HNSW walk over",
    "ivf": "IVF probe over",
}
UPDATER = Path(__file__).with_name("crash_updater.py")


def clustered(count: int) -> FloatMatrix:
    rng = np.random.default_rng(5)
    centres = rng.standard_normal((12, DIMENSION))
    points = centres[rng.integers(0, 12, count)] + 0.4 * rng.standard_normal((count, DIMENSION))
    return points.astype(np.float32)


VECTORS = clustered(ROWS + 40)
STORED, QUERIES = VECTORS[:ROWS], VECTORS[ROWS:]
IDS = [f"r{row:05}" for row in range(ROWS)]


async def filled(
    backend: FaissBackend, put: Put, index: IndexConfig | None, rows: int = ROWS, scale: float = 1.0
) -> FaissCollection:
    """A collection of several sealed segments."""
    await backend.create_collection(CollectionSpec("notes", DIMENSION, Metric.EUCLIDEAN, index=index))
    collection = await backend.collection("notes")
    for begin in range(0, rows, THRESHOLD):
        end = min(rows, begin + THRESHOLD)
        await put(collection, IDS[begin:end], STORED[begin:end] * np.float32(scale))
        await backend.settle()
    return collection


def indexes(collection: FaissCollection) -> list[IndexConfig]:
    """What each segment was built with."""
    segments = collection._partition("").segments
    return [SegmentParameters.decode(segment.row.parameters).index for segment in segments]


def segment_names(collection: FaissCollection) -> set[str]:
    return {segment.row.uuid for segment in collection._partition("").segments}


def file_names(directory: Path) -> set[str]:
    return {path.stem for path in directory.glob("collections/*/segments/*")}


async def recall(collection: FaissCollection) -> float:
    exact = await collection.search("", QUERIES, SearchOptions(exact=True, fields=IDS_ONLY))
    found = await collection.search("", QUERIES, SearchOptions(fields=IDS_ONLY))
    return float(np.mean([len(set(one.ids) & set(best.ids)) / 10 for one, best in zip(found, exact, strict=True)]))


async def explained(collection: FaissCollection, **options: Any) -> dict[str, Any]:
    (hits,) = await collection.search("", QUERIES[:1], SearchOptions(fields=IDS_ONLY, **options))
    return {"plan": hits.explanation.plan, **hits.explanation.details}


@contextmanager
def no_room(monkeypatch: pytest.MonkeyPatch, *, after: int = 0) -> Iterator[None]:
    """Let no segment be written but for the first few."""
    written = 0
    write = segment_file.write_segment

    def full(path: Path, contents: segment_file.SegmentContents) -> bytes:
        nonlocal written
        if written == after:
            raise OSError(errno.ENOSPC, "No space left on device")
        written += 1
        return write(path, contents)

    with monkeypatch.context() as patch:
        patch.setattr(rebuild, "write_segment", full)
        yield


@EACH_CHANGE
async def test_every_segment_is_built_anew_with_the_new_settings(
    before: IndexConfig | None, after: IndexConfig | None, open_backend: OpenBackend, put: Put, directory: Path
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await filled(backend, put, before)
    built = segment_names(collection)
    spec = await backend.update_collection("notes", after)
    assert spec == collection.spec == (await backend.collection("notes")).spec
    assert spec.index == after
    assert await recall(collection) >= 0.95
    await backend.settle()
    assert indexes(collection) == [after or HnswIndex()] * SEGMENTS
    assert not built & segment_names(collection)
    assert file_names(directory) == segment_names(collection)
    details = await explained(collection)
    assert details["plan"].startswith(PLANS[(after or HnswIndex()).kind])
    assert details["rebuild_under_way"] is False
    assert await recall(collection) >= 0.95


@pytest.mark.parametrize(
    ("before", "after", "parameter", "least"),
    [
        (HnswIndex(), HnswIndex(ef=90), "ef", 90),
        (None, HnswIndex(ef=80), "ef", 80),
        (IvfIndex(), IvfIndex(nprobe=20), "nprobe", 20),
    ],
    ids=str,
)
async def test_what_only_searches_depend_on_holds_at_once_and_rebuilds_nothing(
    before: IndexConfig | None,
    after: IndexConfig,
    parameter: str,
    least: int,
    open_backend: OpenBackend,
    put: Put,
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await filled(backend, put, before)
    built = segment_names(collection)
    assert (await explained(collection))[parameter] < least
    await backend.update_collection("notes", after)
    assert not collection._partition("").rebuilding
    assert (await explained(collection))[parameter] == least
    await backend.settle()
    assert segment_names(collection) == built
    backend = await open_backend(seal_threshold=THRESHOLD)
    await backend.settle()
    assert segment_names(await backend.collection("notes")) == built


async def test_the_default_by_its_own_name_is_no_change(open_backend: OpenBackend, put: Put) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await filled(backend, put, None)
    built = segment_names(collection)
    for index in (HnswIndex(), None, HnswIndex()):
        await backend.update_collection("notes", index)
        await backend.settle()
    assert segment_names(collection) == built


async def test_a_collection_that_becomes_flat_is_searched_exactly_from_then_on(
    open_backend: OpenBackend, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await filled(backend, put, IvfIndex())
    assert (await explained(collection))["walked_segments"] == SEGMENTS
    with no_room(monkeypatch):
        await backend.update_collection("notes", FlatIndex())
        await backend.settle()
    assert indexes(collection) == [IvfIndex()] * SEGMENTS
    assert (await explained(collection))["exact_records"] == ROWS


async def test_what_is_not_built_anew_yet_is_searched_as_broadly_as_it_needs(
    open_backend: OpenBackend, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await filled(backend, put, IvfIndex())
    usual = (await explained(collection))["nprobe"]
    with no_room(monkeypatch, after=1):
        await backend.update_collection("notes", HnswIndex(ef=1000))
        await backend.settle()
    assert sorted(index.kind for index in indexes(collection)) == ["hnsw", "ivf"]
    # The ef of 1,000 says nothing of lists, nor does that of a search.
    assert (await explained(collection))["nprobe"] == usual
    assert (await explained(collection, ef=700))["nprobe"] == usual
    assert (await explained(collection, nprobe=2))["nprobe"] == 2
    assert await recall(collection) >= 0.95


@pytest.mark.parametrize(
    ("rows", "scale", "after"),
    [(300, 1.0, IvfIndex()), (THRESHOLD, 1e25, IvfIndex()), (THRESHOLD, 1e25, HnswIndex(m=8))],
    ids=["few vectors", "long vectors, lists", "long vectors, graph"],
)
async def test_what_must_stay_flat_is_not_built_anew_for_ever(
    rows: int, scale: float, after: IndexConfig, open_backend: OpenBackend, put: Put
) -> None:
    backend = await open_backend(seal_threshold=rows)
    collection = await filled(backend, put, HnswIndex(), rows, scale)
    await backend.update_collection("notes", after)
    async with asyncio.timeout(60):
        await backend.settle()
    (name,) = segment_names(collection)
    assert indexes(collection) == [FlatIndex()]
    await put(collection, ["another"])
    assert not collection._partition("").rebuilding
    backend = await open_backend(seal_threshold=rows)
    await backend.settle()
    assert segment_names(await backend.collection("notes")) == {name}


async def test_a_build_that_was_under_way_is_followed_by_one_with_the_new_settings(
    open_backend: OpenBackend, put: Put
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await filled(backend, put, HnswIndex(), rows=0)
    await put(collection, IDS[:THRESHOLD], STORED[:THRESHOLD])
    assert collection._partition("").sealing
    await backend.update_collection("notes", IvfIndex())
    await backend.settle()
    assert indexes(collection) == [IvfIndex()]


async def test_every_namespace_is_built_anew(
    open_backend: OpenBackend, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "CONSIDERED_AT_ONCE", 4)
    backend = await open_backend(seal_threshold=40)
    await backend.create_collection(CollectionSpec("notes", DIMENSION))
    collection = await backend.collection("notes")
    names = [f"n{number}" for number in range(10)]
    for name in names:
        await put(collection, IDS[:40], STORED[:40], namespace=name)
    await backend.settle()
    await backend.update_collection("notes", HnswIndex(m=4))
    await backend.settle()
    built = [segment for name in names for segment in collection._partition(name).segments]
    assert [SegmentParameters.decode(segment.row.parameters).index for segment in built] == [HnswIndex(m=4)] * 10


async def test_a_restart_in_the_middle_goes_on(
    open_backend: OpenBackend, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await filled(backend, put, HnswIndex())
    built = segment_names(collection)
    with no_room(monkeypatch, after=1):
        await backend.update_collection("notes", IvfIndex())
        await backend.settle()
        assert len(segment_names(collection) - built) == 1
        (first,) = segment_names(collection) - built
        await backend.close()
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await backend.collection("notes")
    assert collection.spec.index == IvfIndex()
    assert await recall(collection) >= 0.95
    await backend.settle()
    assert indexes(collection) == [IvfIndex()] * SEGMENTS
    assert first in segment_names(collection)
    assert await recall(collection) >= 0.95


async def test_a_rebuild_that_failed_is_tried_again_by_itself(
    open_backend: OpenBackend, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "RETRY_SECONDS", 0.2)
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await filled(backend, put, HnswIndex())
    with no_room(monkeypatch):
        await backend.update_collection("notes", IvfIndex())
        await backend.settle()
        assert indexes(collection) == [HnswIndex()] * SEGMENTS
    async with asyncio.timeout(60):
        while indexes(collection) != [IvfIndex()] * SEGMENTS:  # noqa: ASYNC110  # the pause has no event
            await asyncio.sleep(0.01)


async def test_a_change_that_cannot_be_kept_is_not_made(
    open_backend: OpenBackend, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise StorageFullError("the disk is full")

    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await filled(backend, put, HnswIndex())
    built = segment_names(collection)
    with monkeypatch.context() as patch:
        patch.setattr(Catalogue, "update", refused)
        with pytest.raises(StorageFullError):
            await backend.update_collection("notes", IvfIndex())
    await backend.settle()
    assert (collection.spec.index, segment_names(collection)) == (HnswIndex(), built)


async def test_a_caller_who_gives_up_does_not_part_memory_from_the_file(open_backend: OpenBackend, put: Put) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await filled(backend, put, HnswIndex(), THRESHOLD)
    change = asyncio.create_task(backend.update_collection("notes", HnswIndex(m=8)))
    await asyncio.sleep(0)
    change.cancel()
    await asyncio.gather(change, return_exceptions=True)
    async with asyncio.timeout(10):
        while collection.spec.index != HnswIndex(m=8):  # noqa: ASYNC110  # nobody is told any more
            await asyncio.sleep(0.01)
    backend = await open_backend(seal_threshold=THRESHOLD)
    assert (await backend.collection("notes")).spec.index == HnswIndex(m=8)


async def test_a_closed_backend_changes_nothing(open_backend: OpenBackend) -> None:
    backend = await open_backend()
    await backend.create_collection(CollectionSpec("notes", DIMENSION))
    await backend.close()
    with pytest.raises(BackendUnavailableError):
        await backend.update_collection("notes", FlatIndex())


def killed_updater(directory: Path, lines: int) -> list[str]:
    """Run the updater, kill it after so many lines, and return all that it said."""
    with subprocess.Popen([sys.executable, str(UPDATER), str(directory)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        said.extend(process.stdout)
    return [line for line in said if line.endswith("\n")]


async def test_a_kill_at_any_moment_leaves_the_old_index_or_the_new_one_and_the_rebuild_goes_on(
    open_backend: OpenBackend, directory: Path
) -> None:
    moments = random.Random(2)
    allowed: list[IndexConfig | None] = [None]
    for _ in range(3):
        for line in killed_updater(directory, moments.randrange(1, 12)):
            event, number = line.split()
            index = crash_updater.INDEXES[int(number)]
            allowed = [allowed[-1], index] if event == "began" else [index]
        backend = await open_backend(seal_threshold=crash_updater.THRESHOLD)
        collection = await backend.collection("notes")
        assert collection.spec.index in allowed
        nearest = SearchOptions(top_k=1, fields=IDS_ONLY)
        for settled in (False, True):
            found = await collection.search("", crash_updater.VECTORS, nearest)
            assert np.mean([hits.ids == [own] for hits, own in zip(found, crash_updater.IDS, strict=True)]) >= 0.99
            assert (await collection.size()).records == crash_updater.ROWS
            if not settled:
                await backend.settle()
        allowed = [collection.spec.index]
        wanted = build_settings(HnswIndex() if collection.spec.index is None else collection.spec.index)
        assert {build_settings(built) for built in indexes(collection)} == {wanted}
        await backend.close()
