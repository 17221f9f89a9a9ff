"""A start tells how far it is, to whoever asks and in the log."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from vecgate_backends.answers import WriteResult
from vecgate_backends.contract import TellsProgress
from vecgate_backends.faiss import FaissBackend, FaissOptions, loading, loading_progress
from vecgate_backends.faiss.truth import TruthReader
from vecgate_backends.records import CollectionSpec, FlatIndex

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]


async def test_a_start_that_is_cancelled_stops_loading_and_lets_go_of_the_files(
    open_backend: OpenBackend, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await open_backend()
    await backend.create_collection(CollectionSpec("notes", 4))
    await put(await backend.collection("notes"), ["a"])
    await backend.close()
    reading, may_read = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    numbers = TruthReader.numbers

    def slow(reader: TruthReader) -> dict[str, int]:
        loop.call_soon_threadsafe(reading.set)
        may_read.wait()
        return numbers(reader)

    with monkeypatch.context() as patch:
        patch.setattr(TruthReader, "numbers", slow)
        patch.setattr(TruthReader, "vectors", lambda *_: pytest.fail("it went on loading"))
        backend = FaissBackend(backend._options)
        starting = asyncio.create_task(backend.start())
        await reading.wait()
        starting.cancel()
        await asyncio.sleep(0)
        assert not starting.done()
        may_read.set()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await backend.close()
    assert (await (await (await open_backend()).collection("notes")).size()).records == 1


async def test_a_start_tells_what_it_loads_and_how_far_it_is(
    open_backend: OpenBackend, put: Put, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backend = await open_backend(seal_threshold=100)
    await backend.create_collection(CollectionSpec("notes", 4, index=FlatIndex()))
    for begin in (0, 100):
        await put(
            await backend.collection("notes"), [f"r{number:03}" for number in range(begin, begin + 100 - begin // 2)]
        )
        await backend.settle()
    assert backend.progress == ""
    await backend.close()
    monkeypatch.setattr(loading_progress, "LOG_SECONDS", 0.0)
    caplog.set_level(logging.INFO)
    backend = FaissBackend(FaissOptions(path=backend._options.path, seal_threshold=100))
    assert isinstance(backend, TellsProgress)
    told: list[str] = []
    fill_heads = loading._fill_heads

    def filled(*arguments: Any) -> None:
        told.append(backend.progress)
        fill_heads(*arguments)
        told.append(backend.progress)

    monkeypatch.setattr(loading, "_fill_heads", filled)
    await backend.start()
    begun = "loading collection notes: 100 of 100 vectors of segments, 150 of 150 records"
    assert told == [begun, f"{begun}, 50 of 50 vectors outside segments"]
    assert backend.progress == ""
    assert told[1] in caplog.messages
    await backend.close()
