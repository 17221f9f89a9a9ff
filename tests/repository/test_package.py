"""What `pip install vecgate` brings, and what a user's program sees of it."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
MOST_MEBIBYTES = 150
MOST_SECONDS = 0.3

pytestmark = pytest.mark.timeout(400)  # the first test to come makes the environment


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def output_of(python: Path, program: str) -> str:
    command = [str(python), "-c", program]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture(scope="module")
def distributions(installed_alone: Path) -> dict[str, int]:
    """Name of an installed distribution → bytes of its files."""
    program = (
        "import json; from importlib.metadata import distributions; print(json.dumps({found.name: "
        "sum(file.locate().stat().st_size for file in found.files or () if file.locate().exists()) for found in distributions()}))"
    )
    sizes: dict[str, int] = json.loads(output_of(installed_alone, program))
    return {name_of(name): size for name, size in sizes.items()}


def test_no_dependency_of_an_extra_is_installed(distributions: dict[str, int]) -> None:
    own = {name_of(requirement) for requirement in PROJECT["dependencies"]}
    # An extra may bound what the client needs more narrowly.
    optional = {
        name_of(requirement) for extra in PROJECT["optional-dependencies"].values() for requirement in extra
    } - {"vecgate", *own}
    brought = optional & distributions.keys() - {"typing-extensions"}  # grpcio needs it as well
    assert not brought
    assert own <= distributions.keys()
    for name, size in sorted(distributions.items()):
        logging.getLogger(__name__).info("%s: %.1f MiB", name, size / 2**20)


def test_what_is_installed_stays_small(distributions: dict[str, int]) -> None:
    total = sum(distributions.values()) / 2**20
    assert total < MOST_MEBIBYTES, distributions


@pytest.mark.parametrize("program", ["import vecgate", "import vecgate; vecgate.Client"])
def test_the_import_takes_little_processor_time(installed_alone: Path, program: str) -> None:
    probe = f"import time; {program}; print(time.process_time())"
    # The first run writes the bytecode; the best of several is what the machine can do while others use it too.
    seconds = min(float(output_of(installed_alone, probe)) for _ in range(6))
    assert seconds < MOST_SECONDS


def test_the_command_line_works(installed_alone: Path) -> None:
    vecgate = installed_alone.with_name("vecgate")
    done = subprocess.run([vecgate, "--help"], env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("Usage: vecgate ")
    assert output_of(installed_alone, "import vecgate; print(vecgate.__file__)").startswith(
        str(installed_alone.parents[1])
    )


PROGRAM = """
import asyncio
from collections.abc import Iterator

import numpy as np

from vecgate import (
    AsyncClient, BatchQuery, ById, Client, Deadlines, Fields, HnswIndex, Match, Record, Rerank, SearchResult, StoredRecord,
    TlsOptions, UpsertResult, VecgateError, field,
)
from vecgate.frames import Columns, records_from, to_arrow, to_pandas


def records() -> Iterator[Record]:
    yield Record("a", "text", np.zeros(3), {"year": 2024, "tags": ["x"]})


def blocking() -> list[str]:
    with Client("host:443", deadlines=Deadlines(read=5), tls=TlsOptions(ca="ca.pem"), api_key="key") as client:
        client.create_collection("docs", dimension=3, index=HnswIndex(m=8))
        stored: UpsertResult = client.upsert("docs", records(), mode="insert")
        stored.raise_for_failures()
        found: SearchResult = client.search("docs", "query", filter=field("year") >= 2000, rerank=Rerank("model"))
        best: Match = found.matches[0]
        score: float = best.score
        for outcome in client.search_many("docs", (BatchQuery(ById(id_)) for id_ in "abc"), top_k=3):
            if isinstance(outcome, VecgateError):
                print(outcome.reason)
            else:
                print(outcome.matches, score)
        client.upsert("docs", records_from(to_pandas(found), Columns(text="body")))
        to_arrow(client.list("docs"))
        read: tuple[StoredRecord, ...] = client.get("docs", ["a"], fields=Fields(vector=True)).records
        return [record.id for record in read]


async def asynchronous() -> int:
    async with AsyncClient() as client:
        async for record in client.list("docs"):
            print(record.metadata.get("year"))
        async for outcome in client.search_many("docs", ["a"]):
            reveal_type(outcome)
        return await client.count("docs")


asyncio.run(asynchronous())
"""
MISTAKES = """
from vecgate import Client, Record

client = Client(tls="yes")
client.search("docs", "query", topk=3)
client.search("docs", "query", top_k="3")
client.upsert("docs", [Record(7)])
count: str = client.count("docs")
client.upsert("docs", [], mode="replace")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the programs are checked, one after the other, with one cache."""
    return tmp_path_factory.mktemp("program")


def checked(python: Path, program: str, folder: Path) -> tuple[int, str]:
    """Type-check a program as its author does: strictly, against the installed package."""
    path = folder / "program.py"
    path.write_text(program)
    command = [
        sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-executable", str(python),
        f"--cache-dir={folder / 'cache'}", str(path),
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=300
    )
    return done.returncode, done.stdout + done.stderr


def test_a_program_of_a_user_passes_a_strict_type_checker(installed_alone: Path, folder: Path) -> None:
    status, words = checked(installed_alone, PROGRAM, folder)
    assert 'note: Revealed type is "' in words
    assert re.search(r'Revealed type is ".*SearchResult \| .*VecgateError"', words), words
    assert status == 0, words


def test_a_mistake_of_a_user_is_found_by_the_type_checker(installed_alone: Path, folder: Path) -> None:
    _, words = checked(installed_alone, MISTAKES, folder)
    assert sorted({int(line) for line in re.findall(r"program\.py:(\d+): error", words)}) == [4, 5, 6, 7, 8, 9], words
