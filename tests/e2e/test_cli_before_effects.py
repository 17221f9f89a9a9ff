"""What the command line refuses before it has any effect: no collection made, no record stored."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from command_line import Server, Vecgate, assert_one_error_line, vecgate_process

from vecgate import Client, Record

pytestmark = pytest.mark.usefixtures("folder")

ROW = json.dumps({"id": "r", "vector": [1, 2], "text": "text"})


@pytest.fixture
def rows(folder: Path) -> str:
    """A file of one record."""
    (folder / "rows.jsonl").write_text(f"{ROW}\n")
    return "rows.jsonl"


@pytest.fixture
def exported(vecgate: Vecgate, client: Client, docs: str) -> str:
    """The export of a collection of one record."""
    client.upsert(docs, [Record("r", "text", [1, 2])])
    assert vecgate("export", docs, "docs.jsonl").status == 0
    return "docs.jsonl"


def test_a_state_directory_that_cannot_be_made_leaves_the_records_unstored(
    vecgate: Vecgate, client: Client, docs: str, folder: Path, rows: str
) -> None:
    (folder / "occupied").write_text("a file, no directory")
    refused = vecgate("index", rows, "-c", docs, "--state-dir", str(folder / "occupied" / "state"))
    assert_one_error_line(refused, 2, "--state-dir")
    assert client.count(docs) == 0


def test_batches_larger_than_the_server_takes_make_no_collection(
    vecgate: Vecgate, client: Client, rows: str, exported: str
) -> None:
    for command in (["index", rows, "-c", "too-large"], ["import", exported, "too-large"]):
        refused = vecgate(*command, "--create", "--batch-size", "1001")
        assert_one_error_line(refused, 2, "--batch-size 1001: the server takes at most 1000")
    assert "too-large" not in [collection.name for collection in client.list_collections().collections]


def test_a_model_or_backend_that_a_collection_does_not_have_is_not_passed_over(
    vecgate: Vecgate, client: Client, docs: str, rows: str, exported: str
) -> None:
    client.delete(docs, all=True)
    asked = vecgate("index", rows, "-c", docs, "--create", "--model", "another")
    assert_one_error_line(asked, 2, "--model another")
    assert_one_error_line(vecgate("import", exported, docs, "--create", "--backend", "other"), 2, "--backend other")
    assert client.count(docs) == 0


def test_gzip_on_stdin_is_told_as_such(memory_server: Server, client: Client, docs: str) -> None:
    with vecgate_process(memory_server, "index", "-", "-c", docs) as process:
        _, errors = process.communicate(gzip.compress(ROW.encode()), timeout=60)
    assert (process.returncode, errors.decode()[:25]) == (2, "error: stdin: gzip data; ")
    assert client.count(docs) == 0


def test_a_refusal_of_a_whole_record_reads_as_a_sentence(vecgate: Vecgate, docs: str, folder: Path) -> None:
    (folder / "mixed.jsonl").write_text(f'{ROW}\n{{"id": "empty"}}\n')
    refused = vecgate("index", "mixed.jsonl", "-c", docs)
    assert "refused: line 2: needs text, a vector or both (INVALID_ARGUMENT)" in refused.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tls-certificate", "own.pem"], "--tls-key: missing"),
        (["--tls-ca", "none.pem"], "--tls-ca: the file cannot be read"),
        (["--api-key", "two words"], "--api-key: empty, or with characters"),
        (["--target", "vecgate.example:1", "--api-key", "k"], "use TLS, or --allow-plaintext-api-key if"),
    ],
)
def test_what_is_wrong_with_a_connection_is_said_of_its_options(
    vecgate: Vecgate, options: list[str], words: str
) -> None:
    assert_one_error_line(vecgate(*options, "info"), 2, words)
