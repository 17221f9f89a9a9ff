"""A model that counts what it is asked, and the real handlers in front of real backends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecgate.v1.record_pb2 import Record
from vecgate.v1.write_pb2 import UpsertRequest, UpsertResponse
from vecgate_backends.contract import Backend
from vecgate_backends.faiss import FaissBackend, FaissOptions
from vecgate_backends.memory import MemoryBackend, MemoryOptions
from vecgate_backends.records import CollectionSpec, Fields, FloatVector, ModelBinding
from vecgate_server.call_clock import begin_clock
from vecgate_server.config_limits import LimitSettings
from vecgate_server.configured_backend import ConfiguredBackend
from vecgate_server.directory import Directory
from vecgate_server.encoders.base import (
    CrossEncoder,
    Encoder,
    EncodeTimings,
    Encoding,
    LongText,
    ModelDescription,
    ModelState,
    ModelStatus,
    Role,
)
from vecgate_server.errors import ModelNotFoundError
from vecgate_server.service.write import WriteHandlers

DIMENSION = 4
MAX_TOKENS = 3
UNKNOWN_WORD = "unknown"  # the model gives it zeros
MODEL = ModelDescription(
    "counting", "sha256:aa", DIMENSION, MAX_TOKENS, "", "", normalized=False, runtime="none", source="test"
)
SPEC = CollectionSpec("notes", DIMENSION, model=ModelBinding("counting", "sha256:aa"))


def vector_of(text: str, fingerprint: str = "sha256:aa") -> FloatVector:
    """Return what the model makes of a text, shape (DIMENSION,): it reads the first MAX_TOKENS words."""
    words = " ".join(text.split()[:MAX_TOKENS])
    if words == UNKNOWN_WORD:
        return np.zeros(DIMENSION, np.float32)
    seed = blake2b(f"{fingerprint} {words}".encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(seed)).standard_normal(DIMENSION, np.float32)


@dataclass(slots=True)
class CountingEncoder:
    """One word is one token; `asked` holds every text it was asked to encode."""

    description: ModelDescription = MODEL
    asked: list[str] = field(default_factory=list)

    async def encode(self, texts: Sequence[str], role: Role, *, long_text: LongText = LongText.TRUNCATE) -> Encoding:
        assert role is Role.DOCUMENT
        self.asked.extend(texts)
        vectors = np.stack([vector_of(text, self.description.fingerprint) for text in texts])
        tokens = np.array([len(text.split()) for text in texts], np.int32)
        truncated = tokens > MAX_TOKENS
        if long_text is LongText.REFUSE:
            vectors[truncated] = np.nan
        nothing = np.zeros(len(texts), np.bool_)
        return Encoding(vectors, np.minimum(tokens, MAX_TOKENS), truncated, nothing, EncodeTimings(encode_ns=1))


@dataclass(slots=True)
class CountingModels:
    """One model; `loads` counts how often its encoder was asked for, `known` says whether it was ever loaded."""

    one: CountingEncoder = field(default_factory=CountingEncoder)
    known: bool = True
    loads: int = 0
    ready: bool = True

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def encoder(self, name: str | None) -> Encoder:
        if name != self.one.description.name:
            raise ModelNotFoundError(f"no model {name}")
        self.loads += 1
        self.known = True
        return self.one

    async def cross_encoder(self, name: str) -> CrossEncoder:
        raise ModelNotFoundError(f"no model {name}")

    def statuses(self) -> Sequence[ModelStatus]:
        state = ModelState.READY if self.known else ModelState.AVAILABLE
        description = self.one.description if self.known else None
        return [ModelStatus(self.one.description.name, is_default=True, state=state, description=description)]

    def retrain(self, fingerprint: str) -> None:
        """Put another model in the place of this one."""
        self.one = CountingEncoder(replace(self.one.description, fingerprint=fingerprint))


@dataclass(slots=True)
class Bench:
    """The handlers, the model behind them, and a backend with the collection "notes" that can be reopened."""

    build: Callable[[], Backend]
    reopenable: bool
    backend: Backend
    directory: Directory
    models: CountingModels = field(default_factory=CountingModels)

    @property
    def handlers(self) -> WriteHandlers:
        return WriteHandlers(self.directory, self.models, LimitSettings())

    async def reopen(self) -> None:
        """Close the backend and open it again, where data outlives that."""
        if self.reopenable:
            await self.directory.close()
            self.backend, self.directory = await opened(self.build)

    async def upsert(self, *records: Record, **fields: Any) -> tuple[UpsertResponse, list[str]]:
        """Call Upsert; return the answer and the texts that the model was asked to encode for it."""
        before = len(self.models.one.asked)
        begin_clock()  # as what is around a call does
        request = UpsertRequest(**{"collection": SPEC.name} | fields)
        request.records.extend(records)
        return await self.handlers.upsert(request), self.models.one.asked[before:]

    async def stored(self, *ids: str) -> list[Any]:
        """Read records with all their fields; None for those not stored."""
        collection = await self.backend.collection(SPEC.name)
        return list(await collection.get("", ids, Fields(vector=True, encoding_stamp=True)))

    def vector_of(self, text: str) -> FloatVector:
        """Return what the model makes of a text, shape (DIMENSION,)."""
        return vector_of(text, self.models.one.description.fingerprint)


async def opened(build: Callable[[], Backend]) -> tuple[Backend, Directory]:
    """Open what `build` makes as the only backend of a directory."""
    backend = build()
    directory = Directory([ConfiguredBackend("b", "kind", backend)], "b")
    await directory.open()
    return backend, directory


@asynccontextmanager
async def opened_bench(kind: str, directory: Path) -> AsyncIterator[Bench]:
    """Return a bench on an empty backend of this kind."""

    def build() -> Backend:
        if kind == "memory":
            return MemoryBackend(MemoryOptions())
        return FaissBackend(FaissOptions(path=directory, seal_threshold=8))

    bench = Bench(build, kind != "memory", *await opened(build))
    await bench.backend.create_collection(SPEC)
    yield bench
    await bench.directory.close()


@pytest.fixture(scope="session")
def open_bench() -> Callable[[str, Path], AbstractAsyncContextManager[Bench]]:
    """Opens a bench: kind of backend, directory."""
    return opened_bench


@pytest.fixture(params=["memory", "faiss"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """A bench on each backend."""
    async with opened_bench(request.param, tmp_path / "store") as on_backend:
        yield on_backend
