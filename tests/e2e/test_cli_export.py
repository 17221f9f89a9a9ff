"""vecgate export and import: what comes back is what was there, on every backend."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import (
    Server,
    Vecgate,
    assert_one_error_line,
    called_after,
    interrupted_after,
    records_sent,
    running,
    vecgate_process,
)
from emulators.pinecone import Emulator
from emulators.qdrant_server import QdrantEmulator
from faults.killed_server import KilledServer

from vecgate import Client, Fields, HnswIndex, Record, StoredRecord, Timestamp
from vecgate.client.ingesting import Ingesting

pytestmark = pytest.mark.usefixtures("folder")

SUFFIXES = [".jsonl", ".jsonl.gz", ".parquet"]
DIMENSION = 5
ODD_IDS = ["a", "B", "ä", "\U0001f600", "with space", "#0", "-x", "%2F", "'", '"', "\\", "{}", "日本", "x" * 512]
NAMESPACES = ["", "tenant 2", "~"]


@pytest.fixture(autouse=True)
def _parquet() -> None:
    pytest.importorskip("pyarrow", reason="the extra parquet is not installed")


def odd_records(seed: int, *, exact: bool = True) -> list[Record]:
    """Records with every kind of metadata, vectors at the edges of float32, and ids that quoting might hurt."""
    chance = random.Random(seed)
    vectors = np.random.default_rng(seed).standard_normal((len(ODD_IDS), DIMENSION)).astype(np.float32)
    if exact:
        vectors[0] = [-0.0, 0.0, 9e18, float(np.finfo(np.float32).tiny), 1e-45]
        vectors[1] = [0.1, 1 / 3, 16_777_217, -1e-38, 3.4e17]
    moments = [Timestamp(-62_135_596_800), Timestamp(253_402_300_799, 999_999_999), Timestamp(0, 1)]
    values: list[Any] = [
        1, 1.0, -(2**63), 2**63 - 1, 2.0**53, 1e-300, -0.0, True, False, "", "1", "2020-01-01T00:00:00Z",
        "line\nbreak\u2028\r\t", [], ["", "a", "a"], *moments,
    ]  # fmt: skip
    fields = ["field", "ü field", "timestamp", "{", "text"]
    records: list[Record] = []
    for number, record_id in enumerate(ODD_IDS):
        metadata = {name: chance.choice(values) for name in chance.sample(fields, chance.randint(0, len(fields)))}
        text = chance.choice([None, "", "some text", "null\r\n\u2028 and \x7f"])
        records.append(Record(record_id, text, vectors[number], metadata))
    # Every value comes somewhere.
    records += [Record(f"value {n}", "t", vectors[2], {"value": value}) for n, value in enumerate(values)]
    return records


def fill(client: Client, collection: str, *, exact: bool = True) -> None:
    for seed, namespace in enumerate(NAMESPACES):
        client.upsert(collection, odd_records(seed, exact=exact), namespace=namespace).raise_for_failures()


def everything(client: Client, collection: str) -> dict[tuple[str, str], StoredRecord]:
    return {
        (namespace, record.id): record
        for namespace in client.get_collection(collection).namespaces
        for record in client.list(collection, fields=Fields(vector=True), namespace=namespace)
    }


def assert_equal(one: dict[Any, StoredRecord], other: dict[Any, StoredRecord], *, tolerance: float = 0.0) -> None:
    assert one.keys() == other.keys()
    for key, record in one.items():
        assert (record.text, record.metadata) == (other[key].text, other[key].metadata)
        # 1 == 1.0 == True, and -0.0 == 0.0.
        assert repr(record.metadata) == repr(other[key].metadata)
        mine, theirs = record.vector, other[key].vector
        assert mine is not None
        assert theirs is not None
        if tolerance:
            assert np.abs(mine - theirs).max() <= tolerance * max(1.0, float(np.abs(mine).max()))
        else:
            assert mine.tobytes() == theirs.tobytes()


@pytest.fixture
def faiss(start_server: Any) -> Any:
    return start_server({"models": {"preload": []}})


@pytest.fixture
def qdrant(start_server: Any) -> Iterator[Any]:
    server = QdrantEmulator()
    options = {"host": "127.0.0.1", "grpc_port": server.port}
    yield start_server({"models": {"preload": []}, "backends": {"qdrant": {"kind": "qdrant", "options": options}}})
    server.stop()


@pytest.fixture
def pinecone(start_server: Any) -> Iterator[Any]:
    with Emulator() as server:
        server.project("pcsk_export")
        options = {"api_key": "pcsk_export", "controller_url": server.url, "settings_seconds": 0.05}
        yield start_server(
            {"models": {"preload": []}, "backends": {"pinecone": {"kind": "pinecone", "options": options}}}
        )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_on_faiss_the_export_of_an_import_is_the_same_file(
    faiss: Server, capfd: pytest.CaptureFixture[str], folder: Path, suffix: str
) -> None:
    vecgate = running(faiss.address, capfd)
    one, two = f"one{suffix}", f"two{suffix}"
    with Client(faiss.address) as client:
        client.create_collection("first", dimension=DIMENSION, metric="dot", index=HnswIndex(m=8, ef=77))
        fill(client, "first")
        exported = vecgate("export", "first", one)
        assert (exported.status, exported.err) == (0, "")
        number = len(everything(client, "first"))
        assert exported.out == f"exported {number} records to {one}\n"
        imported = vecgate("import", one, "second", "--create", "--batch-size", "7")
        assert (imported.status, imported.err) == (0, "")
        assert vecgate("export", "second", two).status == 0
        assert_equal(everything(client, "first"), everything(client, "second"))
        first, second = (client.get_collection(name).collection for name in ("first", "second"))
        assert (first.metric, first.dimension, first.index) == (second.metric, second.dimension, second.index)
    assert (folder / one).read_bytes() == (folder / two).read_bytes()


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("backend", ["qdrant", "pinecone"])
def test_behind_a_vendor_the_import_of_an_export_is_equal(
    request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str], folder: Path, backend: str, suffix: str
) -> None:
    server = request.getfixturevalue(backend)
    vecgate = running(server.address, capfd)
    with Client(server.address) as client:
        client.create_collection("first", dimension=DIMENSION)
        fill(client, "first", exact=False)
        for source, target in (("first", "second"), ("second", "third")):
            assert vecgate("export", source, f"{source}{suffix}").err == ""
            assert vecgate("import", f"{source}{suffix}", target, "--create").err == ""
        assert len(everything(client, "first")) > 60
        assert_equal(everything(client, "first"), everything(client, "second"), tolerance=1e-6)
        assert_equal(everything(client, "first"), everything(client, "third"), tolerance=1e-6)


def test_one_format_holds_what_the_other_does(faiss: Server, capfd: pytest.CaptureFixture[str], folder: Path) -> None:
    vecgate = running(faiss.address, capfd)
    with Client(faiss.address) as client:
        client.create_collection("first", dimension=DIMENSION, metric="dot")
        fill(client, "first")
        assert vecgate("export", "first", "a.parquet").status == 0
        assert vecgate("import", "a.parquet", "second", "--create").status == 0
        assert vecgate("export", "second", "b.jsonl.gz").status == 0
        assert vecgate("export", "first", "a.jsonl").status == 0
    assert gzip.decompress((folder / "b.jsonl.gz").read_bytes()) == (folder / "a.jsonl").read_bytes()


def test_export_and_import_are_two_ends_of_a_pipe(
    memory_server: Server, vecgate: Vecgate, client: Client, docs: str, folder: Path
) -> None:
    client.upsert(docs, [Record("a", "text", [1, 2], {"n": 1}), Record("b", None, [3, 4])])
    client.upsert(docs, [Record("a", "other", [5, 6])], namespace="tenant")
    exported = vecgate("export", docs, "-")
    assert (exported.status, exported.err) == (0, "exported 3 records to stdout\n")
    with vecgate_process(memory_server, "import", "-", f"{docs}-copy", "--create") as process:
        out, err = process.communicate(exported.out.encode(), timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert b"stored 3 records" in out
    assert_equal(everything(client, docs), everything(client, f"{docs}-copy"))
    assert vecgate("export", docs, "-", "--namespace", "tenant", "--filter", "missing = 1").out.count("\n") == 2


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_an_export_that_fails_on_its_way_is_no_export(
    memory_server: Server, vecgate: Vecgate, client: Client, docs: str, folder: Path, file_format: str
) -> None:
    client.upsert(docs, [Record("a", "text", [1, 2])])
    program = (
        "import sys; from vecgate.cli.app import run; from vecgate.client import Client; listed = Client.list\n"
        "def broken(self, collection, namespace, **options):\n"
        "    yield from listed(self, collection, namespace=namespace, **options)\n"
        "    raise KeyboardInterrupt\n"
        "Client.list = broken; sys.exit(run(sys.argv[1:]))"
    )
    arguments = ["-t", memory_server.address, "export", docs, "-", "--format", file_format]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr.strip()) == (130, b"error: interrupted")
    (folder / f"a.{file_format}").write_bytes(done.stdout)
    assert_one_error_line(vecgate("import", f"a.{file_format}", docs), 2)


def test_parquet_goes_to_stdout_too(memory_server: Server, client: Client, docs: str, folder: Path) -> None:
    import pyarrow.parquet

    client.upsert(docs, [Record("a", "text", [1, 2])])
    with vecgate_process(memory_server, "export", docs, "-", "--format", "parquet") as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"exported 1 records to stdout\n")
    (folder / "a.parquet").write_bytes(out)
    table = pyarrow.parquet.read_table(folder / "a.parquet")
    assert table.to_pydict() == {
        "namespace": [""], "id": ["a"], "text": ["text"], "vector": [[1.0, 2.0]], "metadata": ["{}"],
    }  # fmt: skip


def test_pages_larger_than_a_message_are_asked_for_again_smaller(
    vecgate: Vecgate, client: Client, docs: str, folder: Path
) -> None:
    texts = [f"{number} {'long text ' * 6_000}" for number in range(200)]
    client.upsert(docs, [Record(str(number), text, [1, number]) for number, text in enumerate(texts)])
    exported = vecgate("export", docs, "a.jsonl.gz")
    assert (exported.status, exported.err) == (0, "")
    lines = gzip.decompress((folder / "a.jsonl.gz").read_bytes()).splitlines()
    assert sorted(json.loads(line)["text"] for line in lines[1:-1]) == sorted(texts)


def test_an_interrupted_import_continues(
    vecgate: Vecgate, client: Client, docs: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for namespace in ("", "b"):
        client.upsert(docs, [Record(f"{n:02}", f"text {n}", [1, n]) for n in range(25)], namespace=namespace)
    assert vecgate("export", docs, "a.jsonl").status == 0
    arguments = ("import", "a.jsonl", f"{docs}-copy", "--batch-size", "10")
    with interrupted_after(25, monkeypatch):
        stopped = vecgate(*arguments, "--create")
    assert_one_error_line(stopped, 130, "at least 25 records are stored")
    with interrupted_after(10, monkeypatch):
        again = vecgate(*arguments)
    assert (again.status, again.err.splitlines()[0]) == (130, "continuing after 25 records")
    sent = records_sent(monkeypatch)
    done = vecgate(*arguments)
    assert (done.status, done.err) == (0, "continuing after 35 records\n")
    assert sent == [f"{number:02}" for number in range(10, 25)]
    assert_equal(everything(client, docs), everything(client, f"{docs}-copy"))


def test_an_import_goes_on_when_its_server_is_killed(
    start_server: Any,
    capfd: pytest.CaptureFixture[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    unused_tcp_port_factory: Any,
) -> None:
    ports = [unused_tcp_port_factory(), unused_tcp_port_factory()]
    server = KilledServer(start_server, {"models": {"preload": []}}, ports)
    vecgate = running(server.address, capfd)
    with Client(server.address) as client:
        client.create_collection("first", dimension=2)
        client.upsert("first", [Record(f"{n:04}", f"text {n}", [1, n], {"n": n}) for n in range(3_000)])
        assert vecgate("export", "first", "a.parquet").status == 0
        with called_after(1_000, server.kill_and_restart, monkeypatch):
            imported = vecgate("import", "a.parquet", "second", "--create", "--batch-size", "100")
        assert (imported.status, imported.err) == (0, "")
        assert "stored 3,000 records, refused 0" in imported.out
        assert "reconnected 1 times" in imported.out
        assert_equal(everything(client, "first"), everything(client, "second"))


def test_a_server_that_stays_away_is_waited_for_so_long(
    start_server: Any, capfd: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_server({"models": {"preload": []}})
    vecgate = running(server.address, capfd)
    with Client(server.address) as client:
        client.create_collection("first", dimension=2)
        client.upsert("first", [Record(f"{n:04}", f"text {n}", [1, n]) for n in range(500)])
        assert vecgate("export", "first", "a.jsonl").status == 0
    with called_after(100, server.kill, monkeypatch):
        gone = vecgate("import", "a.jsonl", "second", "--create", "--batch-size", "100", "--wait", "0.5")
    assert_one_error_line(gone, 1, "records are stored, the same command continues")


def header(**changes: Any) -> str:
    settings = {"version": 1, "metric": "cosine", "dimension": 2, "model": None, "query_prompt": "", "index": None}
    return json.dumps({"vecgate_export": settings | changes})


RECORD = '{"namespace": "", "id": "a", "vector": [1, 2], "metadata": {}}'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param('{"id": "a"}\n', ["does not begin with the settings", "vecgate index"], id="no export"),
        pytest.param("", ["does not begin with the settings"], id="empty"),
        pytest.param(header(version=2), ["version 2", "pip install --upgrade"], id="later version"),
        pytest.param(header(metric="taxicab"), ["settings of the export are damaged"], id="unknown metric"),
        pytest.param(
            header(index={"kind": "hnsw", "x": 1}), ["settings of the export are damaged"], id="unknown index"
        ),
        pytest.param(f"{header()}\n{RECORD}\n", ["cut off after 1 records"], id="cut off"),
        pytest.param(
            f'{header()}\n{RECORD}\n{{"vecgate_end": {{"records": 2}}}}\n',
            ["holds 1 records", "counts 2"],
            id="a line lost",
        ),
        pytest.param(f"{header()}\n{RECORD[:-5]}\n", ["line 2 is not JSON"], id="damaged line"),
        pytest.param(
            f'{header(dimension=3)}\n{{"vecgate_end": {{"records": 0}}}}\n', ["dimension 3", "takes 2"], id="dimension"
        ),
    ],
)
def test_an_export_that_cannot_be_imported_is_refused_before_anything_is_stored(
    vecgate: Vecgate, client: Client, docs: str, folder: Path, content: str, words: list[str]
) -> None:
    (folder / "a.jsonl").write_text(content)
    assert_one_error_line(vecgate("import", "a.jsonl", docs), 2, *words)
    assert client.count(docs) == 0
    if words != ["dimension 3", "takes 2"]:
        assert_one_error_line(vecgate("import", "a.jsonl", f"{docs}-new", "--create"), 2, *words)
        assert_one_error_line(vecgate("collections", "show", f"{docs}-new"), 1, "COLLECTION_NOT_FOUND")


def test_what_does_not_fit_is_refused_alone(vecgate: Vecgate, client: Client, docs: str, folder: Path) -> None:
    rows = [
        RECORD,
        '{"id": "b", "vector": [1], "metadata": {}}',
        '{"id": "c", "vector": [1, 2], "metadata": {"at": {"timestamp": "yesterday"}}}',
        '{"id": "d", "vector": [1, 2], "metadata": {"at": {"moment": 1}}}',
        '{"id": "e", "vector": ["1", "2"], "metadata": {}}',
        '{"id": "f", "vector": [1, 2], "metadata": {}, "extra": 1}',
        '{"id": "g", "metadata": {}}',
        '{"id": "h", "vector": [1e39, 2], "metadata": {}}',
        '{"id": 7, "vector": [1, 2], "metadata": {}}',
    ]
    end = json.dumps({"vecgate_end": {"records": len(rows)}})
    (folder / "a.jsonl").write_text("\n".join([header(), *rows, end]))
    done = vecgate("import", "a.jsonl", docs)
    assert done.status == 3
    assert "stored 1 records, refused 8" in done.out
    kept = [json.loads(line) for line in (folder / "a.jsonl.refused.jsonl").read_text().splitlines()]
    assert [entry["line"] for entry in kept] == [3, 4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export", "DOCS", "a.csv"], ["tells no format of exports"]),
        (["export", "DOCS", "a.parquet.gz"], ["leave out .gz"]),
        (["export", "DOCS", "no-such-folder/a.jsonl"], ["no-such-folder"]),
        (["import", "plain.parquet", "DOCS"], ["without the settings"]),
        (["import", "-", "DOCS", "--format", "parquet"], ["stdin"]),
        (["import", "missing.jsonl", "DOCS"], ["missing.jsonl"]),
    ],
)
def test_a_file_that_cannot_be_an_export_is_one_line(
    vecgate: Vecgate, docs: str, folder: Path, arguments: list[str], words: list[str]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    pyarrow.parquet.write_table(pa.table({"id": ["a"]}), folder / "plain.parquet")
    assert_one_error_line(vecgate(*(docs if word == "DOCS" else word for word in arguments)), 2, *words)
    assert not [file for file in folder.iterdir() if "unfinished" in file.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_export_is_not_indexed_as_any_file(
    vecgate: Vecgate, client: Client, docs: str, folder: Path, suffix: str
) -> None:
    client.upsert(docs, [Record("a", "text", [1, 2])])
    assert vecgate("export", docs, f"a{suffix}").status == 0
    assert_one_error_line(vecgate("index", f"a{suffix}", "-c", docs), 2, "an export of a collection", "vecgate import")


def test_a_collection_that_is_not_there_is_made_on_request_alone(
    vecgate: Vecgate, client: Client, docs: str, folder: Path
) -> None:
    assert_one_error_line(vecgate("export", "nope", "a.jsonl"), 1, "COLLECTION_NOT_FOUND")
    assert not (folder / "a.jsonl").exists()
    assert vecgate("export", docs, "a.jsonl").out == "exported 0 records to a.jsonl\n"
    assert_one_error_line(vecgate("import", "a.jsonl", "nope"), 1, "COLLECTION_NOT_FOUND", "--create")
    other = f"{docs}-dot"
    client.create_collection(other, dimension=2, metric="dot")
    noted = vecgate("import", "a.jsonl", other)
    assert (noted.status, noted.err) == (0, f"note: exported under cosine, {other!r} measures by dot\n")


@pytest.mark.model
def test_vectors_travel_with_the_fingerprint_of_their_model(
    model_server: Server,
    capfd: pytest.CaptureFixture[str],
    collection: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vecgate = running(model_server.address, capfd)
    upsert_many, told = Ingesting.upsert_many, list[object]()

    def noting(self: Ingesting, *arguments: Any, vector_fingerprint: str | None, **options: Any) -> Any:
        told.append(vector_fingerprint)
        return upsert_many(self, *arguments, vector_fingerprint=vector_fingerprint, **options)

    with Client(model_server.address) as client:
        client.create_collection(collection)
        client.upsert(collection, [Record("cat", "The cat sat on the mat."), Record("gpu", "GPU prices rose.")])
        assert vecgate("export", collection, "a.parquet").status == 0
        assert vecgate("export", collection, "a.jsonl").status == 0
        copy = f"{collection}-copy"
        with monkeypatch.context() as patched:
            patched.setattr(Ingesting, "upsert_many", noting)
            imported = vecgate("import", "a.parquet", copy, "--create")
        bound = client.get_collection(collection).collection.model
        assert bound is not None
        assert told == [bound.fingerprint]
        assert (imported.status, imported.err) == (0, "")
        assert_equal(everything(client, collection), everything(client, copy))
        assert client.get_collection(copy).collection.model == client.get_collection(collection).collection.model
        assert client.search(copy, "a kitten", top_k=1).matches[0].id == "cat"
        lines = (folder / "a.jsonl").read_text()
        (folder / "other.jsonl").write_text(lines.replace('"sha256:', '"sha256:0', 1))
        for arguments in ([collection], [f"{collection}-new", "--create"]):
            assert_one_error_line(vecgate("import", "other.jsonl", *arguments), 2, "fingerprint")
        client.create_collection(f"{collection}-raw", dimension=384)
        noted = vecgate("import", "a.jsonl", f"{collection}-raw")
        assert (noted.status, noted.err.startswith("note: ")) == (0, True)
        assert vecgate("export", f"{collection}-raw", "raw.jsonl").status == 0
        assert_one_error_line(vecgate("import", "raw.jsonl", collection), 2, "no model that is known")
        assert [each.name for each in client.list_collections().collections if each.name.endswith("-new")] == []
