"""A store in a temporary directory, opened and reopened with the options a test needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecgate_backends.answers import WriteResult
from vecgate_backends.faiss import FaissBackend, FaissOptions
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.records import Acknowledgement, FloatMatrix, Metadata, RecordBatch, WriteMode


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the store lies."""
    return tmp_path / "store"


@pytest.fixture
async def open_backend(directory: Path) -> AsyncIterator[Callable[..., Awaitable[FaissBackend]]]:
    """Opens the store with these options; the one opened before is closed, and the last when the test ends."""
    opened: list[FaissBackend] = []

    async def open_one(**options: Any) -> FaissBackend:
        for backend in opened:
            await backend.close()
        backend = FaissBackend(FaissOptions(path=directory, **options))
        await backend.start()
        opened.append(backend)
        return backend

    yield open_one
    for backend in opened:
        await backend.close()


@pytest.fixture
def put() -> Callable[..., Coroutine[Any, Any, WriteResult]]:
    """Writes records with these ids; vectors are random but for those given."""
    rng = np.random.default_rng(7)

    async def put_records(
        collection: FaissCollection,
        ids: Sequence[str],
        vectors: FloatMatrix | None = None,
        metadata: Sequence[Metadata] | None = None,
        *,
        namespace: str = "",
        mode: WriteMode = WriteMode.UPSERT,
    ) -> WriteResult:
        if vectors is None:
            vectors = rng.standard_normal((len(ids), collection.spec.dimension)).astype(np.float32)
        batch = RecordBatch(ids, vectors, [f"text of {record_id}" for record_id in ids], metadata or [{} for _ in ids])
        return await collection.upsert(namespace, batch, mode=mode, acknowledgement=Acknowledgement.SEARCHABLE)

    return put_records
