"""The Pinecone backend under the suite, against the emulator: the unmodified SDK on a real socket.

The emulator proves the translation, not the vendor's engine; test_pinecone_cloud.py runs the same suite there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from emulators.pinecone import Emulator
from emulators.pinecone.data_plane import Lag
from pydantic import SecretStr

from vecgate_backends.conformance import *  # noqa: F403  # the tests are adopted whole
from vecgate_backends.conformance import Case
from vecgate_backends.contract import Backend
from vecgate_backends.pinecone import PineconeBackend, PineconeOptions, index_catalogue, visibility

LAG = Lag(queries=2, fetches=3)
"""A write is visible after a few more requests, and to fetches later than to queries."""


@cache
def emulator() -> Emulator:
    return Emulator(remember=False).__enter__()


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Keep nothing of one test for the next."""
    yield
    emulator().projects.clear()


@pytest.fixture(autouse=True, scope="module")
def stop() -> Iterator[None]:
    """Stop the emulator after the last test."""
    yield
    emulator().stop()
    emulator.cache_clear()


@pytest.fixture(autouse=True, scope="module")
def ask_again_at_once() -> Iterator[None]:
    """The emulator's time is counted in requests, so pauses between them would show nothing more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_catalogue, "FIRST_PAUSE_SECONDS", 0.001)
        patch.setattr(visibility, "FIRST_PAUSE_SECONDS", 0.001)
        yield


def pinecone(directory: Path) -> Backend:
    key = hashlib.sha256(str(directory).encode()).hexdigest()
    emulator().project(key, lag=LAG, ready_after=1)
    return PineconeBackend(PineconeOptions(api_key=SecretStr(key), controller_url=emulator().url))


CASES = [Case("pinecone-emulated", pinecone, emulated=True, examples=8)]
