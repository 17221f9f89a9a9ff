"""docs/backends.md, "Add a backend in five steps", done: an outside package is installed, served, and put under the suite."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecgate import Client, Record

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "backends/examples/shelf"
PAGE = (REPOSITORY / "docs/backends.md").read_text()
PART = "TestSuite or TestBackend or TestGet or TestRefusals"
"""The whole suite takes the shelf half a minute; `pytest test_conformance.py` in its folder runs it."""


def block(language: str, containing: str) -> str:
    """Return the one code block of the page that contains a text, without its indentation."""
    blocks = re.findall(rf"^ *```{language}\n(.*?)^ *```$", PAGE, re.DOTALL | re.MULTILINE)
    (found,) = [each for each in blocks if containing in each]
    return re.sub(r"^   ", "", found, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the outside package, elsewhere, with what is installed of it in `site`."""
    directory = tmp_path_factory.mktemp("outside") / "shelf"
    shutil.copytree(EXAMPLE, directory, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", *offline, "--target", directory / "site", directory],
        check=True,
        timeout=100,
    )
    shutil.rmtree(directory / "vecgate_shelf")
    return directory


@pytest.fixture
def installed(package: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, for processes that the test starts."""
    others = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(package / "site"), others])))
    return package


def test_the_page_shows_what_the_example_holds() -> None:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    assert tomllib.loads(block("toml", "entry-points"))["project"]["entry-points"] == project["entry-points"]
    adoption = (EXAMPLE / "test_conformance.py").read_text()
    assert block("python", "CASES = ").partition("\n")[2] == adoption.partition("\n\n")[2]
    assert {"vecgate[conformance]"} == set(project["optional-dependencies"]["test"])


def test_a_server_finds_it_by_its_kind_and_keeps_what_it_stores(
    installed: Path, start_server: Callable[..., Any]
) -> None:
    settings = {
        "backends": {"shelf": {"kind": "shelf", "options": {"path": "files"}}},
        "models": {"preload": []},
    }
    server = start_server(settings)
    with Client(server.address) as client:
        client.create_collection("notes", dimension=2)
        rows = [("north", (0.0, 1.0)), ("east", (1.0, 0.0))]
        client.upsert("notes", [Record(name, vector=np.array(vector, np.float32)) for name, vector in rows])
    server.stop()
    with Client(start_server(settings).address) as client:
        assert {backend.kind for backend in client.server_info().backends} == {"shelf"}
        (match,) = client.search("notes", [0.1, 1.0], top_k=1).matches
        assert match.id == "north"


def test_the_suite_runs_on_it_with_one_file_and_one_command(installed: Path) -> None:
    (command,) = re.findall(r"^ *(pytest .*test_conformance.py)$", PAGE, re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-m", *command.split(), "-k", PART],
        cwd=installed,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert re.search(r"^ *refusals +17 / 3 / 0 *$", done.stdout, re.MULTILINE), done.stdout[-4000:]


def test_a_full_disk_leaves_what_was_stored_before(installed: Path) -> None:
    program = """
import asyncio, errno, os
from pathlib import Path
import numpy as np
from vecgate_backends.contract import Everything
from vecgate_backends.errors import StorageFullError
from vecgate_backends.records import Acknowledgement, CollectionSpec, RecordBatch, WriteMode
from vecgate_shelf import ShelfBackend, ShelfOptions

def full(descriptor):
    raise OSError(errno.ENOSPC, "no space left on device")

async def main():
    backend = ShelfBackend(ShelfOptions(path=Path("full")))
    await backend.start()
    await backend.create_collection(CollectionSpec("notes", 2))
    collection = await backend.collection("notes")
    levels = {"mode": WriteMode.UPSERT, "acknowledgement": Acknowledgement.SEARCHABLE}
    await collection.upsert("", RecordBatch(["a"], np.ones((1, 2), np.float32), [None], [{}]), **levels)
    os.fsync = full
    try:
        await collection.upsert("", RecordBatch(["b"], np.ones((1, 2), np.float32), [None], [{}]), **levels)
    except StorageFullError:
        print(await collection.count("", Everything()))

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=installed, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "1\n", done.stderr
