"""vecgate-server verify and backup beside a real server: what they print, how they exit, and that a backup can be served."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc.aio
import numpy as np
import pytest

from vecgate.v1.collection_pb2 import CreateCollectionRequest, Unbound
from vecgate.v1.read_pb2 import ListRequest
from vecgate.v1.record_pb2 import MetadataFields, Record, ReturnFields
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate.v1.vector_pb2 import Vector
from vecgate.v1.write_pb2 import UpsertRequest

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub

EVERYTHING = ReturnFields(text=True, metadata=MetadataFields(all=True), vector=True)
RECORDS = 150


def settings(path: str) -> dict[str, Any]:
    return {
        "models": {"preload": []},
        "backends": {"faiss": {"kind": "faiss", "options": {"path": path, "seal_threshold": 100}}},
    }


def run(folder: Path, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the command as a process of its own; `before` is what starts it."""
    return subprocess.run(
        [*before, sys.executable, "-m", "vecgate_server", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=60,
        check=False,
    )


def refused(done: subprocess.CompletedProcess[str], code: int) -> str:
    """Hold that a command said one sentence and nothing else, and return that."""
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert done.stderr.startswith("vecgate-server: ")
    return done.stderr


async def put(stub: VectorSearchServiceAsyncStub, first: int, namespace: str = "") -> None:
    random_numbers = np.random.default_rng(first)
    records = [
        Record(
            id=f"{number}",
            text=f"text {number}",
            vector=Vector(packed=random_numbers.standard_normal(8).astype("<f4").tobytes()),
        )
        for number in range(first, first + RECORDS)
    ]
    answer = await stub.Upsert(UpsertRequest(collection="notes", namespace=namespace, records=records))
    assert answer.failed_count == 0


async def listed(stub: VectorSearchServiceAsyncStub) -> list[Record]:
    return list((await stub.List(ListRequest(collection="notes", page_size=1000, fields=EVERYTHING))).records)


async def test_a_backup_of_a_running_server_is_served_by_another(start_server: Any, tmp_path: Path) -> None:
    async with grpc.aio.insecure_channel(start_server(settings("./data")).address) as channel:
        stub = VectorSearchServiceStub(channel)
        await stub.CreateCollection(CreateCollectionRequest(name="notes", unbound=Unbound(dimension=8)))
        await put(stub, 0)
        await put(stub, 0, "games")
        expected = await listed(stub)
        done = run(tmp_path, "backup", "data", "copy")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "copy: a backup of data, verified: 1 collection, 300 records\n"
        await put(stub, 1000)
        assert "another process has the store at data open" in refused(run(tmp_path, "verify", "data"), 2)
        assert "copy exists" in refused(run(tmp_path, "backup", "data", "copy"), 2)
    found = json.loads(run(tmp_path, "verify", "--json", "copy").stdout)
    assert found["sound"] is True
    assert [(each["name"], each["records"], each["derived"]) for each in found["collections"]] == [
        ("notes", {"": RECORDS, "games": RECORDS}, [])
    ]
    async with grpc.aio.insecure_channel(start_server(settings("./copy")).address) as channel:
        stub = VectorSearchServiceStub(channel)
        assert len(expected) == RECORDS
        assert await listed(stub) == expected
        await put(stub, 5000)


async def test_what_is_damaged_is_printed_and_told_by_the_exit_code(start_server: Any, tmp_path: Path) -> None:
    server = start_server(settings("./data"))
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = VectorSearchServiceStub(channel)
        await stub.CreateCollection(CreateCollectionRequest(name="notes", unbound=Unbound(dimension=8)))
        await put(stub, 0)
    assert server.stop() == 0
    assert run(tmp_path, "verify", "data").stdout.splitlines() == [
        "COLLECTION  NAMESPACE  RECORDS",
        'notes       ""             150',
        "data is sound: 1 collection, 150 records",
    ]
    stray, truth = collection_files(tmp_path)
    stray.write_bytes(b"half")
    done = run(tmp_path, "verify", "data")
    assert (done.returncode, done.stderr) == (0, "")
    assert "notes: derived: left.new is no segment of the manifest; the next start removes it" in done.stdout
    truth.write_bytes(truth.read_bytes().replace(b"text 77", b"text 7?"))
    done = run(tmp_path, "verify", "data")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines()[-2:] == [
        "notes: records.db is damaged: the text of record '77' does not match its checksum",
        "data is DAMAGED: 1 collection, 150 records",
    ]
    assert "the text of record '77'" in refused(run(tmp_path, "backup", "data", "copy"), 1)


def collection_files(folder: Path) -> tuple[Path, Path]:
    """Where a stray segment file of the only collection would lie, and its truth."""
    (collection,) = (folder / "data" / "collections").iterdir()
    return collection / "segments" / "left.new", collection / "records.db"


@pytest.mark.parametrize("arguments", [("verify", "nowhere"), ("backup", "nowhere", "copy")])
def test_a_path_without_a_store_is_told_in_one_sentence(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert "there is no store at nowhere" in refused(run(tmp_path, *arguments), 2)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def as_a_user() -> tuple[str, ...]:
    """What starts a program that file permissions bind, as they do not bind root."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root is bound by no permission, and setpriv is not here to change that")
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


@pytest.mark.parametrize("made", [False, True], ids=["new", "made before"])
def test_a_read_only_directory_is_told_in_one_sentence(
    made: bool, as_a_user: tuple[str, ...], start_server: Any, tmp_path: Path
) -> None:
    store = tmp_path / "data"
    if made:
        assert start_server(settings("./data")).stop() == 0
    else:
        store.mkdir()
    configuration = tmp_path / "settings.json"
    configuration.write_text(json.dumps(settings("./data") | {"server": {"port": 0}}))
    store.chmod(0o555)
    try:
        sentence = refused(run(tmp_path, "--config", "settings.json", before=as_a_user), 1)
        verified = run(tmp_path, "verify", "data", before=as_a_user)
    finally:
        store.chmod(0o755)
    assert sentence.startswith("vecgate-server: backend 'faiss': path: the directory data cannot be used: ")
    assert verified.returncode == (0 if made else 2)
