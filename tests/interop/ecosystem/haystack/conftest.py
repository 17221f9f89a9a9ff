"""Haystack's stores on a real server, whose address is in VECGATE_TEST_TARGET."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from vecgate.haystack import VecgateDocumentStore

_numbers = itertools.count(1)

MakeStore = Callable[..., VecgateDocumentStore]


@pytest.fixture(scope="session")
def target() -> str:
    """The address of the server."""
    return os.environ["VECGATE_TEST_TARGET"]


@pytest.fixture
def make_store(target: str) -> Iterator[MakeStore]:
    """Make stores in collections of their own, which are deleted at the end."""
    made: list[VecgateDocumentStore] = []

    def make(**settings: Any) -> VecgateDocumentStore:
        name = settings.pop("collection", f"haystack-{os.getpid()}-{next(_numbers)}")
        store = VecgateDocumentStore(name, target=target, **settings)
        made.append(store)
        return store

    yield make
    for store in made:
        store._collection.deleted()
        store.close()


@pytest.fixture
def document_store(make_store: MakeStore) -> VecgateDocumentStore:
    """A store of the embeddings that the standard tests write."""
    return make_store(embedding_dimension=768)
