"""The files of a store: who may open it, what happens to damaged ones, and that nothing is removed by mistake."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from vecgate_backends.answers import WriteResult
from vecgate_backends.errors import (
    CollectionNotFoundError,
    ConfigurationError,
    IndexUnsupportedError,
    StorageCorruptError,
    StoreLockedError,
    TokenInvalidError,
)
from vecgate_backends.faiss import FaissBackend, FaissOptions
from vecgate_backends.faiss import database as database_module
from vecgate_backends.faiss import store as store_module
from vecgate_backends.faiss.consistency import ConsistencyToken
from vecgate_backends.faiss.database import sync_path
from vecgate_backends.records import (
    IDS_ONLY,
    CollectionSpec,
    HnswIndex,
    IndexConfig,
    IvfIndex,
    Metric,
    ModelBinding,
    Quantization,
    Timestamp,
)

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]
SPEC = CollectionSpec("notes", 4)


class LshIndex:
    kind = "lsh"


def truth_of(directory: Path, backend: FaissBackend, name: str) -> Path:
    return directory / "collections" / backend._open[name].entry.uid / "records.db"


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


@pytest.mark.parametrize(
    "index", [HnswIndex(8), HnswIndex(8, quantization=Quantization.SCALAR8), IvfIndex(), IvfIndex(300, 20)], ids=str
)
async def test_settings_survive_a_reopen(index: IndexConfig, open_backend: OpenBackend) -> None:
    spec = CollectionSpec("a-1", 7, Metric.DOT, ModelBinding("m", "sha256:1", "q: "), index, Timestamp(5, 6))
    await (await open_backend()).create_collection(spec)
    assert await (await open_backend()).list_collections() == [spec]


async def test_a_second_opener_is_refused_until_the_first_has_closed(
    open_backend: OpenBackend, directory: Path
) -> None:
    first = await open_backend()
    second = FaissBackend(FaissOptions(path=directory))
    with pytest.raises(StoreLockedError, match=r"another process has the store at .* open"):
        await second.start()
    await first.close()
    await second.start()
    await second.close()


async def test_an_unusable_path_is_reported_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"^path: the directory .* cannot be used: [^\n]+$"):
        await FaissBackend(FaissOptions(path=tmp_path / "file" / "store")).start()


async def test_the_name_of_every_new_directory_is_made_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []

    def noted(path: Path) -> None:
        synced.append(path)
        sync_path(path)

    for module in (store_module, database_module):
        monkeypatch.setattr(module, "sync_path", noted)
    store = tmp_path / "new" / "store"
    backend = FaissBackend(FaissOptions(path=store))
    await backend.start()
    await backend.create_collection(CollectionSpec("c", 4))
    await backend.close()
    assert {tmp_path, tmp_path / "new", store, store / "collections"} <= set(synced)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("seal_threshold", 0),
        ("search_threads", -1),
        ("build_threads", -1),
        ("quiet_seconds", -0.5),
        ("quiet_seconds", float("nan")),
        ("quiet_seconds", float("inf")),
    ],
)
def test_a_wrong_option_is_named(option: str, value: float) -> None:
    options: dict[str, Any] = {option: value}
    with pytest.raises(ConfigurationError, match=f"^{option}: must be at least"):
        FaissOptions(**options)


async def test_a_kind_of_index_that_is_not_built_is_refused(open_backend: OpenBackend) -> None:
    backend = await open_backend()
    with pytest.raises(IndexUnsupportedError, match="flat, hnsw, hnsw-scalar8, ivf"):
        await backend.create_collection(CollectionSpec("notes", 4, index=LshIndex()))  # type: ignore[arg-type]  # the point
    assert await backend.list_collections() == []


@pytest.mark.parametrize("damage", ["missing", "emptied", "header", "page", "another's"])
async def test_a_damaged_collection_is_refused_and_the_others_go_on(
    damage: str, open_backend: OpenBackend, put: Put, directory: Path
) -> None:
    backend = await open_backend()
    for name in ("sound", "broken"):
        await backend.create_collection(CollectionSpec(name, 4))
        await put(await backend.collection(name), [f"{name}{n}" for n in range(500)])
    sound, broken = (truth_of(directory, backend, name) for name in ("sound", "broken"))
    await backend.close()
    match damage:
        case "missing":
            broken.unlink()
        case "emptied":
            broken.write_bytes(b"")
        case "header":
            overwrite(broken, 0, b"\xff" * 100)
        case "page":
            overwrite(broken, 3 * 8192, b"\xff" * 8192)
        case _:
            shutil.copy(sound, broken)
    before = broken.read_bytes() if broken.exists() else None
    backend = await open_backend()
    with pytest.raises(StorageCorruptError, match=r"records\.db"):
        await backend.collection("broken")
    assert (await (await backend.collection("sound")).size()).records == 500
    assert [spec.name for spec in await backend.list_collections()] == ["broken", "sound"]
    assert (broken.read_bytes() if broken.exists() else None) == before
    await backend.delete_collection("broken")
    with pytest.raises(CollectionNotFoundError):
        await backend.collection("broken")


async def test_metadata_that_cannot_be_read_is_reported_as_damage(
    open_backend: OpenBackend, put: Put, directory: Path
) -> None:
    backend = await open_backend()
    await backend.create_collection(SPEC)
    await put(await backend.collection("notes"), ["a"])
    truth = truth_of(directory, backend, "notes")
    await backend.close()
    with sqlite3.connect(truth) as connection:
        connection.execute("UPDATE records SET metadata = '{'")
    connection.close()
    with pytest.raises(StorageCorruptError, match="metadata"):
        await (await open_backend()).collection("notes")


async def test_a_newer_format_is_refused_by_its_version(open_backend: OpenBackend, directory: Path) -> None:
    await (await open_backend()).close()
    with sqlite3.connect(directory / "catalogue.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(
        StorageCorruptError, match="written by a newer vecgate: it has format version 99; this program reads version 1"
    ):
        await open_backend()


async def test_a_missing_catalogue_beside_collections_is_never_made_anew(
    open_backend: OpenBackend, directory: Path
) -> None:
    backend = await open_backend()
    await backend.create_collection(SPEC)
    await backend.close()
    (directory / "catalogue.db").unlink()
    with pytest.raises(StorageCorruptError, match="is missing, but there are collections"):
        await open_backend()
    assert not (directory / "catalogue.db").exists()


async def test_deleting_removes_the_files_and_the_name_can_be_used_again(
    open_backend: OpenBackend, put: Put, directory: Path
) -> None:
    backend = await open_backend()
    await backend.create_collection(SPEC)
    old = await backend.collection("notes")
    await put(old, ["a"])
    await backend.delete_collection("notes")
    assert list((directory / "collections").iterdir()) == []
    with pytest.raises(CollectionNotFoundError):
        await old.size()
    await backend.create_collection(SPEC)
    assert (await (await backend.collection("notes")).size()).records == 0


async def test_what_a_crash_left_of_a_deleted_collection_goes_at_the_next_start(
    open_backend: OpenBackend, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await open_backend()
    await backend.create_collection(SPEC)

    def resist(path: Path) -> None:
        raise PermissionError(13, "resists")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", resist)
        await backend.delete_collection("notes")
    assert len(list((directory / "collections").iterdir())) == 1
    await open_backend()
    assert list((directory / "collections").iterdir()) == []


async def test_a_directory_that_the_catalogue_does_not_know_is_left_alone(
    open_backend: OpenBackend, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await open_backend()
    stranger = directory / "collections" / "0123"
    stranger.mkdir()
    (stranger / "records.db").write_bytes(b"someone's")
    await open_backend()
    assert (stranger / "records.db").read_bytes() == b"someone's"
    assert "belongs to no collection" in caplog.text


async def test_a_cancelled_creation_still_leaves_a_whole_store(open_backend: OpenBackend) -> None:
    backend = await open_backend()
    creation = asyncio.create_task(backend.create_collection(SPEC))
    await asyncio.sleep(0)
    creation.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creation
    await backend.close()
    names = [spec.name for spec in await (await open_backend()).list_collections()]
    assert names in ([], ["notes"])


async def test_a_token_is_honoured_after_a_reopen_and_a_later_one_is_not(open_backend: OpenBackend, put: Put) -> None:
    backend = await open_backend()
    await backend.create_collection(SPEC)
    result = await put(await backend.collection("notes"), ["a"])
    collection = await (await open_backend()).collection("notes")
    assert (await collection.get("", ["a"], IDS_ONLY, consistency_token=result.consistency_token))[0] is not None
    token = ConsistencyToken.decode(result.consistency_token)
    with pytest.raises(TokenInvalidError):
        await collection.get("", ["a"], IDS_ONLY, consistency_token=ConsistencyToken(token.uid, 9).encode())
