"""LangChain's stores on a real server, whose address is in VECGATE_TEST_TARGET."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from vecgate.langchain import VecgateVectorStore

_numbers = itertools.count(1)

MakeStore = Callable[..., VecgateVectorStore]


@pytest.fixture(scope="session")
def target() -> str:
    """The address of the server."""
    return os.environ["VECGATE_TEST_TARGET"]


@pytest.fixture
def make_store(target: str) -> Iterator[MakeStore]:
    """Make stores in collections of their own, which are deleted at the end."""
    made: list[VecgateVectorStore] = []

    def make(embedding: Any = None, **settings: Any) -> VecgateVectorStore:
        name = settings.pop("collection", f"langchain-{os.getpid()}-{next(_numbers)}")
        store = VecgateVectorStore(name, embedding, target=target, **settings)
        made.append(store)
        return store

    yield make
    for store in made:
        store.delete_collection()
        store.close()
