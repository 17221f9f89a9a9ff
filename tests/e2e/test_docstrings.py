"""The examples of docstrings run against a real server and print what they say, those of AsyncClient with their awaits."""

from __future__ import annotations

import ast
import asyncio
import doctest
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

import vecgate
from vecgate import AsyncClient, Client, Record

pytestmark = pytest.mark.model

RECORDS = [
    Record("cat", "The cat sat on the mat.", metadata={"year": 2024, "topic": "pets"}),
    Record("dog", "The dog chased a ball.", metadata={"year": 2019, "topic": "pets"}),
    Record("gpu", "GPU prices rose.", metadata={"year": 2021}),
]


def documented(face: type) -> dict[str, str]:
    """Name of a method, or of the class that has it → its docstring, if that has examples."""
    parts = {part.__name__: part for part in face.__mro__ if part.__module__.startswith("vecgate.")}
    members = dict(inspect.getmembers(face, inspect.isfunction)) | parts
    texts = {name: inspect.getdoc(member) or "" for name, member in members.items()}
    return {name: text for name, text in texts.items() if ">>> " in text}


BLOCKING, ASYNCHRONOUS = documented(Client), documented(AsyncClient)


@pytest.fixture
def docs(model_server: Any) -> Iterator[str]:
    """A server with a collection "docs" of three records; its address."""
    with Client(model_server.address) as client:
        client.wait_ready()
        client.create_collection("docs")
        client.upsert("docs", RECORDS).raise_for_failures()
        yield model_server.address
        for collection in client.list_collections().collections:
            if not collection.name.startswith("collection-"):
                client.delete_collection(collection.name)


def names(client: Any) -> dict[str, Any]:
    return {name: getattr(vecgate, name) for name in vecgate.__all__} | {"client": client}


@pytest.mark.parametrize("name", BLOCKING)
def test_the_examples_of_the_blocking_client(name: str, docs: str) -> None:
    with Client(docs) as client:
        test = doctest.DocTestParser().get_doctest(BLOCKING[name], names(client), name, None, 0)
        words: list[str] = []
        result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=words.append)
    assert (result.failed, result.attempted > 0) == (0, True), "".join(words)


@pytest.mark.parametrize("name", ASYNCHRONOUS)
async def test_the_examples_of_the_asynchronous_client(
    name: str, docs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    async with AsyncClient(docs) as client:
        known = names(client) | {"asyncio": asyncio}
        for example in doctest.DocTestParser().get_examples(ASYNCHRONOUS[name]):
            waiting = eval(compile(example.source, name, "single", flags), known)
            if inspect.isawaitable(waiting):
                await waiting
            printed = capsys.readouterr().out
            assert doctest.OutputChecker().check_output(example.want, printed, doctest.ELLIPSIS), printed


def test_most_methods_have_an_example() -> None:
    methods = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}
    shown = "\n".join(BLOCKING.values())
    assert [name for name in sorted(methods) if f".{name}(" not in shown] == [
        "close",
        "rerank",
    ]  # rerank needs a model of its own
    assert len(BLOCKING) == len(ASYNCHRONOUS)
