"""A server whose disk is full, can only be read, or is another server's."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc.aio
import numpy as np
import pytest
from faults.segment_watch import read_segment_file
from faults.small_disk import NoSmallDiskError, SmallDisk, small_disk

from vecgate.v1.collection_pb2 import METRIC_EUCLIDEAN, CreateCollectionRequest, Unbound
from vecgate.v1.filter_pb2 import IdList, Selector
from vecgate.v1.read_pb2 import CountRequest, GetRequest
from vecgate.v1.record_pb2 import Record, ReturnFields
from vecgate.v1.search_pb2 import MATCH_LAYOUT_COLUMNS, Query, SearchOptions, SearchRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate.v1.vector_pb2 import Vector
from vecgate.v1.write_pb2 import DeleteRequest, UpsertRequest

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub

DIMENSION = 256
BATCH = 50
MIB = 2**20
ORIGIN = Query(vector=Vector(packed=np.zeros(DIMENSION, "<f4").tobytes()))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """An empty disk of 12 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    try:
        with small_disk(path, "12m") as mounted:
            yield mounted
    except NoSmallDiskError as refused:
        pytest.skip(f"no disk can be mounted for this test: {refused}")


def settings(path: Path, seal_threshold: int = 100_000) -> dict[str, Any]:
    options = {"path": str(path / "store"), "seal_threshold": seal_threshold}
    return {"models": {"preload": []}, "backends": {"faiss": {"kind": "faiss", "options": options}}}


def fill(disk: SmallDisk, but: int) -> Path:
    """Write a file that leaves so many bytes of the disk free."""
    path = disk.seen / "ballast"
    path.write_bytes(bytes(disk.free_bytes - but))
    return path


def record(number: int) -> Record:
    """A record whose distance from the origin is its number."""
    packed = np.full(DIMENSION, number / np.sqrt(DIMENSION), "<f4").tobytes()
    return Record(id=f"{number:05}", text=f"text of {number} " * 20, vector=Vector(packed=packed))


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[VectorSearchServiceAsyncStub]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield VectorSearchServiceStub(channel)


async def create(stub: VectorSearchServiceAsyncStub) -> None:
    unbound = Unbound(dimension=DIMENSION)
    await stub.CreateCollection(CreateCollectionRequest(name="notes", unbound=unbound, metric=METRIC_EUCLIDEAN))


async def put(stub: VectorSearchServiceAsyncStub, numbers: Sequence[int]) -> None:
    await stub.Upsert(UpsertRequest(collection="notes", records=[record(number) for number in numbers]))


async def delete(stub: VectorSearchServiceAsyncStub, numbers: Sequence[int]) -> None:
    ids = IdList(ids=[f"{number:05}" for number in numbers])
    await stub.Delete(DeleteRequest(collection="notes", selector=Selector(ids=ids)))


async def put_until_full(stub: VectorSearchServiceAsyncStub, stored: set[int], batch: int, refusal: Any) -> None:
    """Write until a write is refused for want of space, and note what was acknowledged."""
    while True:
        first = max(stored, default=0) + 1
        numbers = range(first, first + batch)
        try:
            await put(stub, numbers)
        except grpc.aio.AioRpcError:
            refused = await refusal(put(stub, numbers))
            assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "STORAGE_FULL")
            assert "disk is full" in refused.message
            return
        stored.update(numbers)


async def check(stub: VectorSearchServiceAsyncStub, stored: set[int]) -> None:
    """What was acknowledged is there, and nothing else: counted, read, and found with its score."""
    assert (await stub.Count(CountRequest(collection="notes"))).count == len(stored)
    options = SearchOptions(top_k=len(stored) + BATCH, layout=MATCH_LAYOUT_COLUMNS)
    answer = await stub.Search(SearchRequest(collection="notes", query=ORIGIN, options=options))
    columns = answer.result.columns
    assert list(columns.ids) == [f"{number:05}" for number in sorted(stored)]
    np.testing.assert_allclose(
        np.frombuffer(columns.packed_scores, "<f4"), [-number for number in sorted(stored)], 1e-6
    )
    for number in (min(stored), max(stored)):
        fields = ReturnFields(text=True, vector=True)
        found = await stub.Get(
            GetRequest(collection="notes", selector=Selector(ids=IdList(ids=[f"{number:05}"])), fields=fields)
        )
        assert list(found.records) == [record(number)]


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_full_disk_refuses_writes_and_goes_on_reading_until_there_is_space(
    end: str, disk: SmallDisk, start_server: Any, refusal: Any
) -> None:
    stored: set[int] = set()
    ballast = fill(disk, but=6 * MIB)
    server = start_server(settings(disk.path), prefix=disk.prefix)
    async with connected(server.address) as stub:
        await create(stub)
        await put_until_full(stub, stored, BATCH, refusal)
        assert len(stored) > 500
        await put_until_full(stub, stored, 1, refusal)
        await check(stub, stored)
    getattr(server, end)()
    server = start_server(settings(disk.path), prefix=disk.prefix)  # on a full disk
    async with connected(server.address) as stub:
        await check(stub, stored)
        await put_until_full(stub, stored, BATCH, refusal)
        ballast.unlink()
        await delete(stub, sorted(stored)[:BATCH])
        stored -= set(sorted(stored)[:BATCH])
        before = len(stored)
        await put_until_full(stub, stored, BATCH, refusal)
        assert len(stored) > before + 10 * BATCH
        await check(stub, stored)
    server.kill()
    server = start_server(settings(disk.path), prefix=disk.prefix)
    async with connected(server.address) as stub:
        await check(stub, stored)
    assert server.process.poll() is None


async def test_a_disk_that_fills_during_a_seal_leaves_the_records_searchable_and_the_seal_for_later(
    disk: SmallDisk, start_server: Any
) -> None:
    segments = disk.seen / "store" / "collections"
    server = start_server(settings(disk.path, seal_threshold=1000), prefix=disk.prefix)
    async with connected(server.address) as stub:
        await create(stub)
        for first in range(1, 951, BATCH):
            await put(stub, range(first, first + BATCH))
        ballast = fill(disk, but=MIB)  # a segment of these vectors takes more
        await put(stub, range(951, 1001))
        wait_for(lambda: "cannot rebuild the index" in server.log.read_text())
        assert "No space left on device" in server.log.read_text()
        assert not list(segments.glob("*/segments/*"))
        await put(stub, range(1001, 1003))
        await check(stub, set(range(1, 1003)))
    server.kill()
    ballast.unlink()
    server = start_server(settings(disk.path, seal_threshold=1000), prefix=disk.prefix)
    async with connected(server.address) as stub:
        wait_for(lambda: bool(list(segments.glob("*/segments/*.segment"))))
        (segment,) = segments.glob("*/segments/*")
        assert len(read_segment_file(segment).internal_ids) == 1002
        await check(stub, set(range(1, 1003)))


async def test_a_start_without_room_for_the_files_of_a_start_says_that_the_disk_is_full(
    disk: SmallDisk, start_server: Any, refusal: Any, tmp_path: Path
) -> None:
    server = start_server(settings(disk.path), prefix=disk.prefix)
    async with connected(server.address) as stub:
        await create(stub)
        await put(stub, range(1, 11))
    assert server.stop() == 0
    ballast = fill(disk, but=0)
    line = refused_start(configuration_in(tmp_path, disk.path), disk.prefix)
    assert "catalogue.db cannot be used, the disk is full" in line
    ballast.unlink()
    ballast = fill(disk, but=32 * 1024)  # enough for the catalogue
    server = start_server(settings(disk.path), prefix=disk.prefix)
    async with connected(server.address) as stub:
        refused = await refusal(check(stub, set(range(1, 11))))
        assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "STORAGE_FULL")
    assert server.stop() == 0
    ballast.unlink()
    async with connected(start_server(settings(disk.path), prefix=disk.prefix).address) as stub:
        await check(stub, set(range(1, 11)))


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def refused_start(configuration: Path, prefix: Sequence[str] = ()) -> str:
    """Start a server that must not start, and return its one line of complaint."""
    command = [*prefix, sys.executable, "-m", "vecgate_server", "--config", str(configuration)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    return done.stderr


def configuration_in(folder: Path, path: Path) -> Path:
    file = folder / "second.yaml"
    file.write_text(json.dumps(settings(path) | {"server": {"port": 0}}))
    return file


async def test_a_directory_that_can_only_be_read_is_told_in_one_sentence_and_left_as_it_is(
    disk: SmallDisk, start_server: Any, tmp_path: Path
) -> None:
    server = start_server(settings(disk.path), prefix=disk.prefix)
    async with connected(server.address) as stub:
        await create(stub)
        await put(stub, range(1, 11))
    assert server.stop() == 0
    disk.remount("ro")
    line = refused_start(configuration_in(tmp_path, disk.path), disk.prefix)
    assert line == (
        f"vecgate-server: backend 'faiss': path: the directory {disk.path}/store cannot be used: Read-only file system\n"
    )
    disk.remount("rw")
    async with connected(start_server(settings(disk.path), prefix=disk.prefix).address) as stub:
        await check(stub, set(range(1, 11)))


async def test_a_directory_is_free_as_soon_as_the_server_that_had_it_is_killed(
    start_server: Any, tmp_path: Path
) -> None:
    server = start_server(settings(tmp_path))
    async with connected(server.address) as stub:
        await create(stub)
        await put(stub, range(1, 11))
        line = refused_start(configuration_in(tmp_path, tmp_path))
        assert line == (f"vecgate-server: backend 'faiss': another process has the store at {tmp_path}/store open\n")
        await check(stub, set(range(1, 11)))
    server.kill()
    async with connected(start_server(settings(tmp_path)).address) as stub:
        await check(stub, set(range(1, 11)))
