"""Collections found over several backends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from typing_extensions import override

from vecgate_backends.errors import (
    BackendUnavailableError,
    CollectionExistsError,
    CollectionNotFoundError,
)
from vecgate_backends.memory import MemoryBackend
from vecgate_backends.records import CollectionSpec
from vecgate_server import directory as directory_module
from vecgate_server.configured_backend import ConfiguredBackend
from vecgate_server.directory import BackendStartError, Directory
from vecgate_server.errors import BackendNotFoundError

UNBOUND = CollectionSpec("unbound", 3)


def memory(name: str) -> ConfiguredBackend:
    return ConfiguredBackend(name, "memory", MemoryBackend(MemoryBackend.Options()))


class DistantBackend(MemoryBackend):
    """Away when the server starts; later it lists its collections when the test lets it."""

    def __init__(self) -> None:
        super().__init__(self.Options())
        self._is_away = True
        self.asked, self.may_answer = asyncio.Semaphore(0), asyncio.Semaphore(0)

    @override
    async def start(self) -> None:
        if self._is_away:
            self._is_away = False
            raise BackendUnavailableError("it is away")

    @override
    async def list_collections(self) -> Sequence[CollectionSpec]:
        self.asked.release()
        await self.may_answer.acquire()
        return await super().list_collections()


@pytest.fixture
async def directory() -> AsyncIterator[Directory]:
    directory = Directory([memory("one"), memory("two")], "one")
    await directory.open()
    yield directory
    await directory.close()


async def test_a_collection_is_found_in_whichever_backend_holds_it(directory: Directory) -> None:
    await directory.create(directory.backend("two"), UNBOUND)
    for _ in range(2):
        assert (await directory.collection("unbound")).backend == "two"
    assert [located.backend for located in (await directory.listing()).collections] == ["two"]
    await directory.delete("unbound")
    with pytest.raises(CollectionNotFoundError, match="unbound"):
        await directory.collection("unbound")


async def test_a_name_is_taken_in_all_backends_at_once(directory: Directory) -> None:
    await directory.create(directory.backend(""), UNBOUND)
    with pytest.raises(CollectionExistsError, match="'one'"):
        await directory.create(directory.backend("two"), UNBOUND)


async def test_a_name_in_two_backends_is_refused_at_the_start() -> None:
    backends = [memory("one"), memory("two")]
    for each in backends:
        await each.open()
        await each.opened.create_collection(UNBOUND)
    with pytest.raises(BackendStartError, match=r"'unbound' exists in backends '(one|two)' and '(one|two)'"):
        await Directory(backends, "one").open()


async def test_a_backend_held_back_for_a_clash_of_names_answers_nobody_while_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(directory_module, "RETRY_SECONDS", 0.0)
    near, distant = memory("near"), DistantBackend()
    directory = Directory([near, ConfiguredBackend("distant", "memory", distant)], "near")
    await directory.open()
    try:
        await near.opened.create_collection(UNBOUND)
        for name in ("unbound", "other"):
            await distant.create_collection(CollectionSpec(name, 3))
        for why in ("it is away", "'unbound' exists in backends"):
            await distant.asked.acquire()
            with pytest.raises(BackendUnavailableError, match=why):
                await directory.collection("other")
            distant.may_answer.release()
    finally:
        await directory.close()


def test_an_unknown_backend_is_told_with_the_known_ones(directory: Directory) -> None:
    with pytest.raises(BackendNotFoundError, match="one, two"):
        directory.backend("three")


async def test_a_backend_whose_check_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = iter([BackendUnavailableError("the disk is away"), RuntimeError("a bug")])

    async def check(_: MemoryBackend) -> None:
        raise next(faults)

    monkeypatch.setattr(MemoryBackend, "check", check)
    backend = memory("one")
    assert await backend.fault() == "it was not opened yet"
    await backend.open()
    assert await backend.fault() == "the disk is away"
    assert await backend.fault() == "its check failed; the log has the cause"
