"""The command line against a real server: what people see, and the exit status that scripts see."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import (
    Server,
    Vecgate,
    assert_one_error_line,
    interrupted_after,
    records_sent,
    running,
    vecgate_process,
)

from vecgate import Client, Record, Timestamp
from vecgate.cli.app import run

pytestmark = pytest.mark.usefixtures("folder")


def write_vectors(path: Path, number: int) -> None:
    rows = [{"id": f"r{n}", "vector": [1, n], "text": f"text {n}", "year": 2000 + n} for n in range(number)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def test_a_file_is_indexed_and_its_records_can_be_read(
    vecgate: Vecgate, client: Client, docs: str, folder: Path
) -> None:
    write_vectors(folder / "a.jsonl", 130)
    done = vecgate("index", "a.jsonl", "-c", docs)
    assert (done.status, done.err) == (0, "")
    assert "stored 130 records, refused 0" in done.out
    assert client.count(docs) == 130
    got = vecgate("get", "r7", "-c", docs, "--json", "--vector")
    assert json.loads(got.out) == {"id": "r7", "text": "text 7", "metadata": {"year": 2007}, "vector": [1.0, 7.0]}
    assert vecgate("count", "-c", docs, "-f", "year >= 2100").out == "30\n"


def test_what_get_prints_can_be_indexed_again(vecgate: Vecgate, client: Client, docs: str, folder: Path) -> None:
    client.upsert(docs, [Record("a", "text", [1, 2], {"year": 7, "x": 1.5, "tags": ["b"], "yes": True})])
    (folder / "copy.jsonl").write_text(vecgate("get", "a", "-c", docs, "--json", "--vector").out)
    before = client.get(docs, ["a"]).records
    client.delete(docs, all=True)
    assert vecgate("index", "copy.jsonl", "-c", docs).status == 0
    assert client.get(docs, ["a"]).records == before


def test_refused_records_are_counted_told_and_kept(vecgate: Vecgate, client: Client, docs: str, folder: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "good", "vector": [1, 2]},
        {"id": "short", "vector": [1]},
        {"id": "zero", "vector": [0, 0]},
        {"id": "nested", "vector": [1, 2], "a": {"b": 1}},
    ]
    (folder / "a.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    done = vecgate("index", "a.jsonl", "-c", docs)
    assert done.status == 3
    assert "stored 1 records, refused 3" in done.out
    assert "line 2: " in done.err
    kept = [json.loads(line) for line in (folder / "a.jsonl.refused.jsonl").read_text().splitlines()]
    assert [(entry["line"], entry["reason"]) for entry in kept] == [
        (2, "DIMENSION_MISMATCH"),
        (3, "ZERO_VECTOR"),
        (4, "METADATA_VALUE"),
    ]
    assert [entry["record"] for entry in kept] == rows[1:]
    assert client.count(docs) == 1


def test_an_interrupted_run_continues_where_it_was_acknowledged(
    vecgate: Vecgate, client: Client, docs: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_vectors(folder / "a.jsonl", 30)
    with interrupted_after(20, monkeypatch):
        stopped = vecgate("index", "a.jsonl", "-c", docs, "--batch-size", "10")
    assert_one_error_line(stopped, 130, "at least 20 records are stored", "the same command continues")
    assert client.count(docs) >= 20
    sent = records_sent(monkeypatch)
    done = vecgate("index", "a.jsonl", "-c", docs, "--batch-size", "10")
    assert (done.status, done.err) == (0, "continuing after 20 records\n")
    assert "stored 30 records" in done.out
    assert sent == [f"r{number}" for number in range(20, 30)]
    assert client.count(docs) == 30
    assert list((folder / "state").iterdir()) == []


def test_a_killed_run_continues_where_it_was_acknowledged(
    memory_server: Server, vecgate: Vecgate, client: Client, docs: str, folder: Path
) -> None:
    write_vectors(folder / "a.jsonl", 20_000)
    arguments = ("index", "a.jsonl", "-c", docs, "--batch-size", "50")
    with vecgate_process(memory_server, *arguments) as process:
        while not list((folder / "state").glob("*.json")):
            assert process.poll() is None
        process.kill()
    done = vecgate(*arguments)
    assert done.status == 0
    assert done.err.startswith("continuing after ")
    assert "stored 20,000 records, refused 0" in done.out
    assert client.count(docs) == 20_000


def test_a_collection_made_anew_is_indexed_from_the_start(
    vecgate: Vecgate, client: Client, docs: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_vectors(folder / "a.jsonl", 20)
    with interrupted_after(10, monkeypatch):
        assert vecgate("index", "a.jsonl", "-c", docs, "--batch-size", "10").status == 130
    client.delete_collection(docs)
    client.create_collection(docs, dimension=2)
    assert vecgate("index", "a.jsonl", "-c", docs).status == 0
    assert client.count(docs) == 20


def test_records_come_from_stdin(memory_server: Server, client: Client, docs: str) -> None:
    with vecgate_process(memory_server, "index", "-", "-c", docs, "--metadata-field", "at:timestamp") as process:
        out, err = process.communicate(b'{"id": 1, "vector": [1, 2], "at": "2020-01-01T00:00:00Z"}\n', timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert b"stored 1 records" in out
    assert client.get(docs, ["1"]).records[0].metadata == {"at": Timestamp(1_577_836_800)}


def test_ctrl_c_is_one_line_and_status_130(memory_server: Server, client: Client, docs: str) -> None:
    with vecgate_process(memory_server, "index", "-", "-c", docs, "--batch-size", "2") as process:
        assert process.stdin
        process.stdin.write(b'{"id": "a", "vector": [1, 2]}\n{"id": "b", "vector": [1, 2]}\n{"id": "c"')
        process.stdin.flush()
        while client.count(docs) < 2:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.startswith(b"error: interrupted; at least ")
    assert err.count(b"\n") == 1


def test_ctrl_c_while_the_program_is_loaded_is_one_line() -> None:
    probe = (
        "import sys, vecgate.cli\n"
        "class Interrupting:\n"
        "    def find_spec(self, *arguments):\n"
        "        raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "vecgate.cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted\n")


@pytest.mark.parametrize("group", [[], ["collections"]])
def test_a_command_that_is_left_out_shows_those_there_are(vecgate: Vecgate, group: list[str]) -> None:
    shown = vecgate(*group)
    assert (shown.status, shown.out) == (2, "")
    assert shown.err.startswith("Usage: vecgate")
    assert "\nCommands:\n" in shown.err


def test_a_reader_that_goes_away_leaves_no_traceback(memory_server: Server, client: Client, docs: str) -> None:
    client.upsert(docs, [Record(str(n), "text " * 100, [1, n]) for n in range(1000)])
    with vecgate_process(memory_server, "search", "0", "--by-id", "-c", docs, "-k", "999", "--json") as process:
        assert process.stdout
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr
        err = process.stderr.read()
        process.wait(timeout=60)
    assert err == b""


@pytest.mark.parametrize(
    ("name", "content", "options", "words"),
    [
        pytest.param("a.jsonl", b'{"id": "a", "vector": [1, 2]}\n{"id" \n', [], ["line 2 is not JSON"], id="bad JSON"),
        pytest.param("a.csv", b"text,x\na,b\n", [], ["no field 'id'", "'text', 'x'", "--id-field"], id="no id column"),
        pytest.param("a.csv", b"id,body\na,b\n", [], ["no field 'text'", "--text-field"], id="no text column"),
        pytest.param("a.jsonl", b"\x80\x81binary", [], ["not UTF-8 text"], id="binary file"),
        pytest.param(
            "a.jsonl",
            b'{"id": "a", "vector": [1, 2]}',
            ["--refused", "nowhere/b"],
            ["nowhere/b", "--refused"],
            id="no place for refused records",
        ),
        pytest.param("a.pdf", b"%PDF", [], ["tells no usable format"], id="unknown suffix"),
        pytest.param("a.jsonl", b"{}", ["--batch-size", "0"], ["--batch-size"], id="option out of range"),
        pytest.param("a.jsonl", b"{}", ["--no-such-option"], ["No such option"], id="unknown option"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_before_anything_is_stored(
    vecgate: Vecgate, client: Client, docs: str, folder: Path,
    name: str, content: bytes, options: list[str], words: list[str],
) -> None:  # fmt: skip
    (folder / name).write_bytes(content)
    assert_one_error_line(vecgate("index", name, "-c", docs, *options), 2, *words)
    assert client.count(docs) == 0


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_a_path_that_is_no_file_is_refused(vecgate: Vecgate, docs: str, name: str) -> None:
    assert_one_error_line(vecgate("index", name, "-c", docs), 2, name)


def test_an_unknown_collection_is_one_line_with_what_to_do(vecgate: Vecgate, folder: Path) -> None:
    write_vectors(folder / "a.jsonl", 1)
    assert_one_error_line(vecgate("index", "a.jsonl", "-c", "nope"), 1, "COLLECTION_NOT_FOUND", "--create")
    assert_one_error_line(vecgate("search", "x", "-c", "nope"), 1, "vecgate collections list")


def test_a_server_that_is_not_there_is_one_line(capfd: pytest.CaptureFixture[str], unused_tcp_port: int) -> None:
    address = f"127.0.0.1:{unused_tcp_port}"
    assert_one_error_line(running(address, capfd)("count", "-c", "docs"), 1, address, "vecgate-server")


def test_a_bad_filter_is_one_line_that_names_the_place(vecgate: Vecgate, docs: str) -> None:
    assert_one_error_line(vecgate("count", "-c", docs, "-f", "year >=> 1"), 1, "character 8", "FILTER_SYNTAX")


def test_text_in_a_collection_of_vectors_is_one_line(vecgate: Vecgate, docs: str) -> None:
    assert_one_error_line(vecgate("search", "some text", "-c", docs), 1, "COLLECTION_UNBOUND")


def test_a_state_directory_that_cannot_be_written_is_one_line(vecgate: Vecgate, docs: str, folder: Path) -> None:
    write_vectors(folder / "a.jsonl", 1)
    (folder / "occupied").write_text("a file, no directory")
    refused = vecgate("index", "a.jsonl", "-c", docs, "--state-dir", str(folder / "occupied" / "state"))
    assert_one_error_line(refused, 2, "occupied")


def test_search_shows_what_it_found(vecgate: Vecgate, client: Client, docs: str) -> None:
    client.upsert(docs, [Record("near", "[bold]as it is[/bold]", [1, 0], {"year": 7}), Record("far", "x", [0, 1])])
    client.upsert(docs, [Record("q", vector=[1, 0])])
    shown = vecgate("search", "q", "--by-id", "-c", docs, "--explain")
    lines = [line.split() for line in shown.out.splitlines() if line.strip()]
    assert lines[0] == ["score", "id", "text", "metadata"]
    assert lines[2:] == [["1.0000", "near", "[bold]as", "it", "is[/bold]", "year=7"], ["0.0000", "far", "x"]]
    assert shown.err.strip()
    as_json = vecgate("search", "q", "--by-id", "-c", docs, "--json", "-k", "1")
    assert json.loads(as_json.out) == {
        "id": "near",
        "score": 1.0,
        "text": "[bold]as it is[/bold]",
        "metadata": {"year": 7},
    }
    assert vecgate("search", "q", "--by-id", "-c", docs, "-f", "year > 100").out == "no matches\n"


def test_get_shows_records_and_names_the_missing(vecgate: Vecgate, client: Client, docs: str) -> None:
    client.upsert(docs, [Record("a", "some text", [1, 0])])
    shown = vecgate("get", "a", "b", "-c", docs)
    assert (shown.status, shown.err) == (1, "error: not stored: b\n")
    assert "some text" in shown.out


def test_delete_asks_before_it_takes_more_than_ids(vecgate: Vecgate, client: Client, docs: str) -> None:
    client.upsert(docs, [Record(str(n), vector=[1, n], metadata={"n": n}) for n in range(6)])
    assert vecgate("delete", "0", "-c", docs).out == "deleted 1 records\n"
    assert vecgate("delete", "-c", docs, "-f", "n > 3", "--dry-run").out == "would delete 2 records\n"
    assert_one_error_line(vecgate("delete", "-c", docs, "--all"), 2, "--yes")
    assert_one_error_line(vecgate("delete", "-c", docs), 2, "exactly one of")
    assert client.count(docs) == 5
    assert vecgate("delete", "-c", docs, "-f", "n > 3", "--yes").out == "deleted 2 records\n"
    assert vecgate("delete", "-c", docs, "--all", "--yes").out == "deleted 3 records\n"


def test_collections_are_made_listed_shown_and_deleted(vecgate: Vecgate, collection: str) -> None:
    made = vecgate("collections", "create", collection, "--dimension", "4", "--metric", "dot", "--index", "flat")
    assert (made.status, made.err) == (0, "")
    listed = [json.loads(line) for line in vecgate("collections", "list", "--json").out.splitlines()]
    assert [(each["dimension"], each["metric"]) for each in listed if each["name"] == collection] == [(4, "dot")]
    assert "0 records in 0 namespaces" in vecgate("collections", "show", collection).out
    assert_one_error_line(vecgate("collections", "create", collection, "--dimension", "4"), 1, "--exist-ok")
    assert_one_error_line(vecgate("collections", "delete", collection), 2, "--yes")
    assert vecgate("collections", "delete", collection, "--yes").out == f"deleted '{collection}' and its 0 records\n"
    assert_one_error_line(vecgate("collections", "show", collection), 1, "COLLECTION_NOT_FOUND")


def test_the_index_of_a_collection_is_changed(vecgate: Vecgate, collection: str) -> None:
    vecgate("collections", "create", collection, "--dimension", "4")
    for kind, shown in {"flat": "flat", "auto": "by size"}.items():
        changed = vecgate("collections", "update", collection, "--index", kind)
        assert (changed.status, changed.err) == (0, "")
        assert shown in changed.out
    assert_one_error_line(vecgate("collections", "update", collection), 2, "--index")
    update = ("collections", "update", collection, "--index")
    assert_one_error_line(vecgate(*update, "auto", "--m", "8"), 2, "--index hnsw")
    assert_one_error_line(vecgate(*update, "ivf", "--nprobe", "0"), 1, "index.ivf.nprobe")
    assert_one_error_line(vecgate(*update, "hnsw", "--m", "8"), 1, "INDEX_UNSUPPORTED")
    assert_one_error_line(vecgate("collections", "update", "nope", "--index", "flat"), 1, "COLLECTION_NOT_FOUND")


def test_graph_parameters_need_a_graph(vecgate: Vecgate, collection: str) -> None:
    refused = vecgate("collections", "create", collection, "--dimension", "4", "--m", "8")
    assert_one_error_line(refused, 2, "--index hnsw")


def test_parameters_of_lists_need_lists(vecgate: Vecgate, collection: str) -> None:
    made = ("collections", "create", collection, "--dimension", "4")
    assert_one_error_line(vecgate(*made, "--index", "hnsw", "--lists", "8"), 2, "--index ivf")
    assert_one_error_line(vecgate(*made, "--index", "flat", "--quantization", "scalar8"), 2, "--index hnsw")
    # The server of these tests keeps records in memory.
    assert_one_error_line(vecgate(*made, "--index", "ivf", "--lists", "8", "--nprobe", "2"), 1, "INDEX_UNSUPPORTED")
    refused = vecgate(*made, "--index", "hnsw", "--quantization", "scalar8")
    assert_one_error_line(refused, 1, "index.hnsw.quantization")


def test_info_tells_models_backends_and_limits(vecgate: Vecgate, memory_server: Server) -> None:
    shown = vecgate("info")
    assert (shown.status, shown.err) == (0, "")
    for word in (memory_server.address, "serving", "all-MiniLM-L6-v2", "memory", "max_batch"):
        assert word in shown.out
    assert json.loads(vecgate("info", "--json").out)["server"]["default_backend"] == "memory"


def test_the_target_comes_from_the_environment_unless_it_is_given(
    memory_server: Server, docs: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VECGATE_TARGET", memory_server.address)
    assert run(["count", "-c", docs]) == 0
    monkeypatch.setenv("VECGATE_TARGET", "127.0.0.1:1")
    assert run(["count", "-c", docs, "--target", memory_server.address]) == 0
    assert capfd.readouterr().out == "0\n0\n"


@pytest.mark.model
def test_texts_are_indexed_searched_and_encoded(
    model_server: Server, capfd: pytest.CaptureFixture[str], collection: str, folder: Path
) -> None:
    vecgate = running(model_server.address, capfd)
    rows = (
        "id,title,body,year\n1,Cats,The cat sat on the mat.,2001\n2,Prices,GPU prices rose.,\n3,Long,"
        + "w " * 1000
        + ",\n"
    )
    (folder / "a.csv.gz").write_bytes(gzip.compress(rows.encode()))
    columns = ["--text-field", "title", "--text-field", "body"]
    typed = ["--metadata-field", "year:int"]
    indexed = vecgate("index", "a.csv.gz", "-c", collection, "--create", *columns, *typed)
    assert indexed.status == 3
    assert "TEXT_TOO_LONG" in indexed.err
    again = vecgate("index", "a.csv.gz", "-c", collection, "--truncate", *columns, *typed)
    assert again.status == 0
    assert "stored 3 records, 2 with text encoded before, 1 with text cut, refused 0" in again.out
    found = vecgate("search", "Where is the kitten?", "-c", collection, "-k", "1", "--json", "-f", "year < 2010")
    match = json.loads(found.out)
    assert (match["id"], match["text"], match["metadata"]) == ("1", "Cats The cat sat on the mat.", {"year": 2001})
    encoded = vecgate("encode", "a.csv.gz", *columns, "-o", "out.npy")
    assert (encoded.status, encoded.out) == (0, "wrote 3 vectors to out.npy\n")
    assert encoded.err == "1 of 3 texts were longer than the model reads and were cut\n"
    matrix = np.load(folder / "out.npy")
    assert (matrix.dtype, matrix.shape) == (np.float32, (3, 384))
    line = json.loads(vecgate("encode", "--text", "Cats The cat sat on the mat.").out)
    assert line["id"] == "1"
    assert np.allclose(line["vector"], matrix[0], atol=1e-5)
    uncut = vecgate("encode", "a.csv.gz", *columns, "--truncation", "error", "-o", "uncut.npy")
    assert_one_error_line(uncut, 1, "TEXT_TOO_LONG", "texts[2] is in line 4")
    refused = vecgate("encode", "--text", "x", "-o", str(folder / "no-such-folder" / "out.npy"))
    assert_one_error_line(refused, 2, "no-such-folder")
