"""The RAG example, as a user runs it: a process of its own, a real server, and an endpoint that answers as OpenAI's does."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "clients/python/examples/rag.py"
QUESTION = "Does bathing make some infants faint?"
pytestmark = pytest.mark.model


@dataclass
class Endpoint:
    """Answers every chat with `status` and `body`; keeps what it was asked."""

    url: str = ""
    status: int = 200
    body: bytes = b'{"choices": [{"message": {"role": "assistant", "content": "Some do [1]."}}]}'
    asked: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    state = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that http.server calls
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.asked.append({"path": self.path, "key": self.headers["Authorization"], **sent})
            self.send_response(state.status)
            self.end_headers()
            self.wfile.write(state.body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_port}/v1"
        yield state
        server.shutdown()
        thread.join()


def run(address: str, *arguments: str, key: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"VECGATE_TARGET": address, "OPENAI_API_KEY": key, "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, str(EXAMPLE), "--limit", "40", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100, check=False)


def test_it_prints_a_prompt_without_any_language_model(model_server: Any, collection: str) -> None:
    done = run(model_server.address, "--collection", collection, "--top-k", "2", QUESTION)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("Indexing the abstracts")
    assert done.stdout.startswith("--- system\nAnswer the question from the passages below")
    assert done.stdout.rstrip().endswith(f"Question: {QUESTION}")
    assert "[1] PubMed " in done.stdout
    assert "[2] PubMed " in done.stdout
    assert "[3] PubMed " not in done.stdout
    again = run(model_server.address, "--collection", collection, "--top-k", "2", QUESTION)
    assert (again.stdout, again.stderr) == (done.stdout, "")


def test_it_asks_an_endpoint_with_the_prompt_that_it_prints(
    model_server: Any, collection: str, endpoint: Endpoint
) -> None:
    options = ("--collection", collection, "--llm", endpoint.url, "--llm-model", "tiny", "--context", "300")
    done = run(model_server.address, *options, "--filter", "year >= 2000", QUESTION, key="hush")
    assert done.returncode == 0, done.stderr
    (asked,) = endpoint.asked
    assert (asked["path"], asked["model"], asked["key"]) == ("/v1/chat/completions", "tiny", "Bearer hush")
    system, user = asked["messages"]
    printed = f"--- system\n{system['content']}\n--- user\n{user['content']}\n--- answer of tiny\nSome do [1].\n"
    assert done.stdout == printed
    passages = user["content"].removesuffix(f"\n\nQuestion: {QUESTION}")
    assert 300 <= len(passages) < 400


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (429, b"slow down", "answered 429: slow down"),
        (200, b"{}", "something else than a chat completion"),
        (200, b"<html>", "something else than a chat completion"),
    ],
)
def test_an_endpoint_that_does_not_answer_is_told_in_a_sentence(
    model_server: Any, collection: str, endpoint: Endpoint, status: int, body: bytes, told: str
) -> None:
    endpoint.status, endpoint.body = status, body
    done = run(model_server.address, "--collection", collection, "--llm", endpoint.url, QUESTION)
    assert done.returncode == 1
    assert (
        done.stderr.splitlines()[-1]
        == f"error: {endpoint.url} {told if told.startswith('answered') else 'answered ' + told}"
    )


def test_what_is_wrong_is_told_in_a_sentence(model_server: Any, collection: str) -> None:
    no_scheme = run(model_server.address, "--collection", collection, "--llm", "localhost:8000", QUESTION)
    assert no_scheme.stderr.splitlines()[-1].startswith("error: --llm takes an address such as http://")
    no_model = run(model_server.address, "--collection", collection, "--rerank", "absent", QUESTION)
    assert "MODEL_NOT_FOUND" in no_model.stderr.splitlines()[-1]
    away = run(model_server.address, "--collection", collection, "--llm", "http://127.0.0.1:1/v1", QUESTION)
    assert away.stderr.splitlines()[-1].startswith("error: http://127.0.0.1:1/v1 did not answer: ")
    no_server = run("127.0.0.1:1", QUESTION)
    assert no_server.stderr.startswith("error: ")
    assert "UNAVAILABLE" in no_server.stderr
    assert no_server.stderr.count("\n") == 1
