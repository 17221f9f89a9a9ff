"""The programs in other languages do the same on a real server, and tell of it in the same words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from languages.program import Program

from vecgate import Client, Fields, field

pytestmark = [pytest.mark.interop, pytest.mark.model]

RECORDS = 300
RUG = {
    "topic": {"string_value": "pets"},
    "year": {"int_value": "2024"},
    "serial": {"int_value": "9007199254740993"},
    "weight": {"double_value": 4.25},
    "indoors": {"bool_value": True},
    "seen": {"timestamp_value": "2024-02-29T12:30:00.123456789Z"},
    "tags": {"string_list_value": ["cat", "rug"]},
}


class Answers:
    """What each program printed at its first run on the session's server."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._given: dict[str, dict[str, Any]] = {}

    def of(self, program: Program) -> dict[str, Any]:
        """Run a program, unless it ran already."""
        if program.language not in self._given:
            self._given[program.language] = program.answer(self.address, 10, RECORDS)
        return self._given[program.language]


@pytest.fixture(scope="module")
def answers(model_server: Any) -> Answers:
    return Answers(model_server.address)


@pytest.fixture(scope="module")
def client(model_server: Any) -> Iterator[Client]:
    with Client(model_server.address) as client:
        yield client


def test_it_makes_a_collection_and_stores_texts_and_a_vector(
    program: Program, answers: Answers, client: Client
) -> None:
    answer = answers.of(program)
    name = f"example-{program.language}"
    info = client.server_info()
    assert answer["server"] == {
        "version": info.version,
        "default_model": "all-MiniLM-L6-v2",
        "max_batch": info.limits.max_batch,
    }
    assert answer["collection"] == {"name": name, "created": True, "dimension": 384, "metric": "METRIC_COSINE"}
    assert answer["upserted"] == {"stored": 4, "failed": 0}
    assert client.count(name) == 4
    stored = {record.id: record for record in client.get(name, ["sofa", "mat"], fields=Fields(text=True, vector=True))}
    assert stored["sofa"].text == "A kitten dozes on the sofa."
    encoded = client.encode(["A kitten dozes on the sofa."], "document").vectors[0]
    assert stored["sofa"].vector == pytest.approx(encoded, abs=1e-6)


def test_it_finds_the_same_by_text_and_by_vector_under_a_filter(
    program: Program, answers: Answers, client: Client
) -> None:
    answer = answers.of(program)
    by_text, by_vector = answer["by_text"], answer["by_vector"]
    filtered = (field("topic") == "pets") & (field("year") >= 2022)
    expected = client.search(f"example-{program.language}", "a sleeping cat", filter=filtered).matches
    assert [match["id"] for match in by_text] == [match.id for match in expected] == ["sofa", "rug"]
    assert [match["score"] for match in by_text] == pytest.approx([match.score for match in expected], abs=1e-5)
    assert [match["score"] for match in by_vector] == pytest.approx([match["score"] for match in by_text], abs=1e-5)
    assert [match | {"score": None} for match in by_vector] == [match | {"score": None} for match in by_text]


def test_metadata_comes_back_with_the_types_it_went_in_with(program: Program, answers: Answers) -> None:
    (rug,) = (match for match in answers.of(program)["by_text"] if match["id"] == "rug")
    assert rug["text"] == "A feline rested on the rug."
    assert rug["metadata"] == RUG


def test_it_reads_why_a_call_was_refused(program: Program, answers: Answers) -> None:
    refused = answers.of(program)["refused"]
    assert refused == {
        "code": "INVALID_ARGUMENT",
        "reason": "DIMENSION_MISMATCH",
        "message": refused["message"],
        "fields": ["query.vector"],
        "retry_after_seconds": None,
    }
    assert "384" in refused["message"]


def test_a_bulk_upsert_stores_every_record_but_the_bad_one(program: Program, answers: Answers, client: Client) -> None:
    assert answers.of(program)["bulk"] == {
        "records": RECORDS,
        "stored": RECORDS - 1,
        "failed": 1,
        "failures": [{"id": "note-00017", "reason": "DIMENSION_MISMATCH", "fields": ["records[17].vector"]}],
        "counted": RECORDS - 1,
        "reconnects": 0,
    }
    last = f"note-{RECORDS - 1:05}"
    (record,) = client.get(f"example-{program.language}", [last], namespace="bulk").records
    assert record.text == f"Note {RECORDS - 1}: Children learn to swim in summer."
    assert record.metadata == {"number": RECORDS - 1}


def test_all_languages_answer_alike(all_programs: Sequence[Program], answers: Answers) -> None:
    first, *others = [answers.of(program) for program in all_programs]
    for other in others:
        assert shape(other) == shape(first)
        for way in ("by_text", "by_vector"):
            assert [match["score"] for match in other[way]] == pytest.approx(
                [match["score"] for match in first[way]], abs=1e-6
            )


def shape(value: Any) -> Any:
    """Leave of an answer what must be equal to the letter: everything but numbers with a fraction and the collection's name."""
    match value:
        case dict():
            return {key: shape(item) for key, item in value.items() if key != "name"}
        case list():
            return [shape(item) for item in value]
        case float():
            return float
    return value


def test_a_second_run_takes_the_collection_as_it_is(program: Program, answers: Answers) -> None:
    first = answers.of(program)
    second = program.answer(answers.address, 10, RECORDS)
    assert second["collection"] == first["collection"] | {"created": False}
    assert {**second, "collection": None} == {**first, "collection": None}


def test_it_tells_in_one_line_that_no_server_answers(program: Program, free_port: int) -> None:
    done = program.run(f"127.0.0.1:{free_port}", 1)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: no vecgate server answers at 127.0.0.1:{free_port} within 1")
    assert done.stderr.count("\n") == 1


def test_it_tells_in_one_line_that_an_address_is_none(program: Program) -> None:
    done = program.run("two words:1", 1)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: no vecgate server answers at two words:1")
    assert done.stderr.count("\n") == 1


def test_it_tells_in_one_line_that_another_server_answers(program: Program) -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    done = program.run(f"127.0.0.1:{port}", 10)
    server.stop(None)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: what answers at 127.0.0.1:{port} is no vecgate server: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("localhost:1", "soon"),
        ("localhost:1", "1", "0"),
        ("localhost:1", "1", "1.5"),
        ("localhost:1", "1", "2x"),
        ("a", "1", "1", "1"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_before_anything_is_sent(
    program: Program, arguments: tuple[str, ...]
) -> None:
    done = program.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert "usage: " in done.stderr
    assert "For input string" not in done.stderr
