"""Several servers in front of one project: none keeps what another would need."""

from __future__ import annotations

from typing import Any

import pytest
from emulators.pinecone import Emulator
from emulators.pinecone.data_plane import Lag

from vecgate_backends.conformance.material import batch_of, found_ids, listed_ids, read, store_records, upsert
from vecgate_backends.contract import Everything
from vecgate_backends.errors import (
    BackendUnavailableError,
    CollectionExistsError,
    CollectionNotFoundError,
    ConfigurationError,
)
from vecgate_backends.pinecone import PineconeBackend, PineconeOptions
from vecgate_backends.records import Acknowledgement, CollectionSpec, Metric, ModelBinding, Timestamp

KEY = "pcsk_test_key"
SPEC = CollectionSpec(
    "things", 6, Metric.DOT, ModelBinding("m", "sha256:ab", 'query: "日本" '), None, Timestamp(1_700_000_000, 5)
)


async def test_a_collection_is_known_to_every_replica_with_all_its_settings(
    emulator: Emulator, start_backend: Any
) -> None:
    emulator.project(KEY).lag = Lag(4, 6)
    one, other = await start_backend(), await start_backend()
    await one.create_collection(SPEC)
    assert list(await other.list_collections()) == [SPEC]
    collection = await other.collection("things")
    assert collection.spec == SPEC
    with pytest.raises(CollectionExistsError):
        await other.create_collection(SPEC)


async def test_a_token_of_one_replica_is_honoured_by_another(emulator: Emulator, start_backend: Any) -> None:
    one, other = await start_backend(), await start_backend()
    await one.create_collection(SPEC)
    emulator.project(KEY).lag = Lag(4, 8)
    result = await upsert(await one.collection("things"), batch_of(["a"]), acknowledgement=Acknowledgement.DURABLE)
    there = await other.collection("things")
    assert await there.count("", Everything(), consistency_token=result.consistency_token) == 1


async def test_a_collection_deleted_and_made_again_elsewhere_is_noticed(start_backend: Any) -> None:
    one, other = await start_backend(), await start_backend(settings_seconds=1e-9)
    await one.create_collection(SPEC)
    old = await other.collection("things")
    await store_records(old, ["a"])
    await one.delete_collection("things")
    with pytest.raises(CollectionNotFoundError):
        await other.collection("things")
    await one.create_collection(CollectionSpec("things", 3))
    assert (await other.collection("things")).spec.dimension == 3
    with pytest.raises(CollectionNotFoundError):
        await old.count("", Everything())


async def test_settings_are_trusted_for_as_long_as_the_options_say(emulator: Emulator, start_backend: Any) -> None:
    backend = await start_backend()
    await backend.create_collection(SPEC)
    before = len(emulator.seen)
    for _ in range(5):
        await backend.collection("things")
    assert len(emulator.seen) == before


async def test_prefixes_keep_servers_with_one_key_apart(start_backend: Any) -> None:
    one, other, bare = (
        await start_backend(index_prefix="one-"),
        await start_backend(index_prefix="two-"),
        await start_backend(),
    )
    long = "x" * 45
    for backend, text in ((one, "of one"), (other, "of two")):
        await backend.create_collection(CollectionSpec(long, 6))
        await store_records(await backend.collection(long), ["a"], texts=[text])
    assert [spec.name for spec in await one.list_collections()] == [long]
    assert list(await bare.list_collections()) == []
    await other.delete_collection(long)
    assert (await read(await one.collection(long), "a")).text == "of one"


async def test_indexes_that_are_not_ours_are_left_alone(emulator: Emulator, backend: PineconeBackend) -> None:
    fields = {"_values": {"type": "dense_vector", "dimension": 6, "metric": "cosine"}}
    emulator.project(KEY).create({"name": "things", "schema": {"fields": fields}})
    assert list(await backend.list_collections()) == []
    with pytest.raises(CollectionNotFoundError):
        await backend.collection("things")
    with pytest.raises(CollectionNotFoundError):
        await backend.delete_collection("things")
    with pytest.raises(CollectionExistsError):
        await backend.create_collection(SPEC)
    assert "things" in emulator.project(KEY).indexes


async def test_namespaces_that_pinecone_or_this_backend_reserves_are_as_good_as_any(backend: PineconeBackend) -> None:
    await backend.create_collection(CollectionSpec("things", 6))
    collection = await backend.collection("things")
    names = ["", "__default__", "vecgate:settings", "vecgate:=", "vecgate:=__default__", "__", "default"]
    for number, name in enumerate(names):
        await store_records(collection, [str(number)], namespace=name)
    for number, name in enumerate(names):
        assert (
            await listed_ids(collection, namespace=name) == await found_ids(collection, namespace=name) == [str(number)]
        )
    assert dict((await collection.size()).namespaces) == dict.fromkeys(sorted(names), 1)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({}, "api_key"),
        ({"api_key_file": "absent"}, "api_key_file"),
        ({"api_key_file": "empty"}, "api_key"),
        ({"api_key_file": "good", "index_prefix": "No_"}, "index_prefix"),
        ({"api_key_file": "good", "deadline_seconds": 0.0}, "deadline_seconds"),
        ({"api_key_file": "good", "max_scan_records": 0}, "max_scan_records"),
        ({"api_key_file": "broken"}, "api_key"),
    ],
    ids=str,
)
async def test_wrong_options_end_the_start_in_one_sentence(options: dict[str, Any], what: str, tmp_path: Any) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "good").write_text("key\n")
    (tmp_path / "broken").write_text("two words\n")
    if "api_key_file" in options:
        options = options | {"api_key_file": tmp_path / options["api_key_file"]}
    with pytest.raises(ConfigurationError, match=f"^{what}: "):
        await PineconeBackend(PineconeOptions(**options)).start()


async def test_the_key_may_lie_in_a_file(emulator: Emulator, tmp_path: Any) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    backend = PineconeBackend(PineconeOptions(api_key_file=tmp_path / "key", controller_url=emulator.url))
    await backend.start()
    await backend.check()
    await backend.close()
    with pytest.raises(BackendUnavailableError):
        await backend.check()
