"""The Python of the documents runs against a real server, and prints what the documents say.

A block of `python` runs as it stands, after those before it on its page, with the server's address in the place of localhost:50051 and an
open `client`; a block of `output` right behind it is what it prints. One behind a comment "not run: why" is left out, and so are
the blocks inside of lists, which are parts of something larger.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient, GrpcInstrumentorClient

from vecgate import Client, Record

REPOSITORY = Path(__file__).parents[2]
BLOCK = re.compile(
    r"(?P<before>[^\n]*)\n\n```python\n(?P<code>.*?)^```\n(?:\n```output\n(?P<output>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)
PAGES = [
    page
    for page in [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
    if re.search(r"^```python$", page.read_text(), re.MULTILINE)
]
PAPERS = [{"doi": f"10.1/{number}", "abstract": f"Paper {number}.", "year": 2000 + number} for number in range(3)]

pytestmark = pytest.mark.model


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that the documents name, in the folder that the test runs in."""
    authority = trustme.CA()
    own = authority.issue_cert("client@example.org")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    own.cert_chain_pems[0].write_to_path(str(tmp_path / "own.pem"))
    own.private_key_pem.write_to_path(str(tmp_path / "own.key"))
    (tmp_path / "papers.jsonl").write_text("".join(f"{json.dumps(paper)}\n" for paper in PAPERS))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def client(model_server: Any) -> Iterator[Client]:
    """A client whose server has none of the collections that a page makes or needs, but an empty one for its bulk loads."""
    with Client(model_server.address) as client:
        client.wait_ready()
        before = {collection.name for collection in client.list_collections().collections}
        client.create_collection("papers")
        yield client
        for collection in client.list_collections().collections:
            if collection.name not in before:
                client.delete_collection(collection.name)


@pytest.fixture
def untraced() -> Iterator[None]:
    """Take back what a page does to every channel of this process: a traced call that is cancelled, for one, goes on at the server."""
    yield
    kinds: tuple[Any, ...] = (GrpcInstrumentorClient, GrpcAioInstrumentorClient)
    for instrumentor in [kind() for kind in kinds]:
        if instrumentor.is_instrumented_by_opentelemetry:
            instrumentor.uninstrument()


def blocks(page: Path) -> Iterator[re.Match[str]]:
    for found in BLOCK.finditer(page.read_text()):
        if not found["before"].startswith("<!-- not run: "):
            yield found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page: Path, client: Client, model_server: Any, files: None, untraced: None) -> None:
    names: dict[str, Any] = {"__name__": "page", "key": "a-key", "Record": Record}
    ran = 0
    for block in blocks(page):
        names["client"] = client
        code = block["code"].replace("localhost:50051", model_server.address)
        line = page.read_text()[: block.start("code")].count("\n")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * line + code, str(page), "exec"), names)
        assert block["output"] is None or printed.getvalue().strip() == block["output"].strip()
        ran += 1
    assert ran == len(re.findall(r"^```python$", page.read_text(), re.MULTILINE)) - page.read_text().count(
        "<!-- not run: "
    )
