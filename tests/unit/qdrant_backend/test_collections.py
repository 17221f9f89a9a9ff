"""Collections in Qdrant: what is asked of the server, and what several vecgate servers in front of one see of each other."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest
from emulators.qdrant_server import QdrantEmulator, Refuse
from qdrant_client import grpc as wire
from qdrant_client import models

from vecgate_backends.conformance.material import (
    ALL_FIELDS,
    batch_of,
    count_all,
    found_ids,
    list_all,
    listed_ids,
    random_vectors,
    store_records,
    upsert,
)
from vecgate_backends.conformance.oracle import Oracle
from vecgate_backends.contract import Collection, Everything, MetadataChanges, SearchOptions
from vecgate_backends.errors import (
    CollectionExistsError,
    CollectionNotFoundError,
    ConfigurationError,
    IndexUnsupportedError,
    RecordExistsError,
    StorageCorruptError,
    TokenInvalidError,
    UnsupportedError,
)
from vecgate_backends.filters import Compare, Eq, In, Order
from vecgate_backends.qdrant import QdrantBackend, QdrantOptions
from vecgate_backends.qdrant import backend as backend_module
from vecgate_backends.records import (
    IDS_ONLY,
    Acknowledgement,
    CollectionSpec,
    Fields,
    FlatIndex,
    HnswIndex,
    IndexConfig,
    IvfIndex,
    Metadata,
    MetadataValue,
    Metric,
    ModelBinding,
    Quantization,
    Timestamp,
    WriteMode,
)

SEARCHABLE = Acknowledgement.SEARCHABLE
SPEC = CollectionSpec("things", 6)


async def made(backend: QdrantBackend, spec: CollectionSpec = SPEC) -> Collection:
    await backend.create_collection(spec)
    return await backend.collection(spec.name)


async def test_calls_that_meet_a_collection_for_the_first_time_together_all_use_it(
    backend: QdrantBackend, start_backend: Any
) -> None:
    await backend.create_collection(SPEC)
    fresh: QdrantBackend = await start_backend()

    async def first_use() -> int:
        collection = await fresh.collection(SPEC.name)
        # The others come to it too before it is used.
        await asyncio.sleep(0.1)
        return await collection.count("", Everything())

    assert await asyncio.gather(*(first_use() for _ in range(8))) == [0] * 8


async def test_configured_settings_reach_qdrant(emulator: QdrantEmulator, start_backend: Any) -> None:
    backend = await start_backend(
        prefix="team-",
        hnsw={"m": 8, "payload_m": 16},
        optimizers={"indexing_threshold": 0},
        quantization={"scalar": {"type": "int8", "quantile": 0.99, "always_ram": True}},
        shard_number=3,
        replication_factor=2,
        on_disk_payload=True,
        vectors_on_disk=True,
        indexed_fields={"section": "string", "size": "number", "born": "timestamp", "new": "boolean"},
    )
    await backend.create_collection(replace(SPEC, index=HnswIndex(24, 200, 77)))
    (request,) = emulator.called("Create")
    assert request.collection_name == "team-things"
    assert (request.hnsw_config.m, request.hnsw_config.ef_construct, request.hnsw_config.payload_m) == (24, 200, 16)
    assert request.optimizers_config.indexing_threshold == 0
    assert request.quantization_config.scalar.always_ram
    assert (request.shard_number, request.replication_factor, request.write_consistency_factor) == (3, 2, 2)
    assert request.on_disk_payload
    (vector,) = request.vectors_config.params_map.map.values()
    assert (vector.size, vector.distance, vector.on_disk) == (6, wire.Distance.Dot, True)
    indexed = {call.field_name: call.field_type for call in emulator.called("CreateFieldIndex")}
    keyword, integer = wire.FieldType.FieldTypeKeyword, wire.FieldType.FieldTypeInteger
    assert indexed == {
        "ns": keyword,
        '"s:section"': keyword,
        '"n:size"': wire.FieldType.FieldTypeFloat,
        '"h:size"': integer,
        '"t:born"': integer,
        '"b:new"': wire.FieldType.FieldTypeBool,
    }
    (tenants,) = [call for call in emulator.called("CreateFieldIndex") if call.field_name == "ns"]
    assert tenants.field_index_params.keyword_index_params.is_tenant


@pytest.mark.parametrize(
    "index", [HnswIndex(quantization=Quantization.SCALAR8), IvfIndex()], ids=lambda index: index.kind
)
async def test_an_index_that_qdrant_does_not_have_is_refused(
    index: IndexConfig, emulator: QdrantEmulator, backend: QdrantBackend
) -> None:
    with pytest.raises(IndexUnsupportedError, match="flat, hnsw; its option `quantization`"):
        await backend.create_collection(replace(SPEC, index=index))
    assert emulator.called("Create") == []


@pytest.mark.parametrize(
    ("before", "after", "sent"),
    [
        (None, HnswIndex(24, 200, 77), (24, 200)),
        (FlatIndex(), HnswIndex(), (16, 100)),
        (HnswIndex(24, 200), FlatIndex(), (0, 0)),
        (HnswIndex(), HnswIndex(ef=9), (16, 100)),
    ],
    ids=str,
)
async def test_a_changed_index_reaches_qdrant_and_its_metadata_in_one_call(
    before: IndexConfig | None,
    after: IndexConfig,
    sent: tuple[int, int],
    emulator: QdrantEmulator,
    backend: QdrantBackend,
) -> None:
    collection = await made(backend, replace(SPEC, index=before))
    assert await backend.update_collection("things", after) == replace(SPEC, index=after) == collection.spec
    (request,) = emulator.called("Update")
    assert (request.hnsw_config.m, request.hnsw_config.ef_construct) == sent
    assert not request.HasField("quantization_config")
    assert list(request.metadata) == ["vecgate-index"]
    assert list(await backend.list_collections()) == [replace(SPEC, index=after)]


async def test_a_changed_index_keeps_the_configured_settings_of_the_graph(
    emulator: QdrantEmulator, start_backend: Any
) -> None:
    backend = await start_backend(hnsw={"m": 8, "payload_m": 16})
    await made(backend)
    await backend.update_collection("things", HnswIndex(m=30))
    (request,) = emulator.called("Update")
    assert (request.hnsw_config.m, request.hnsw_config.payload_m) == (30, 16)


async def test_qdrant_cannot_go_back_to_an_index_of_its_own_choice(
    emulator: QdrantEmulator, backend: QdrantBackend
) -> None:
    collection = await made(backend)
    await backend.update_collection("things", None)  # it is so already
    await backend.update_collection("things", HnswIndex())
    for index in (None, IvfIndex(), HnswIndex(quantization=Quantization.SCALAR8)):
        with pytest.raises(IndexUnsupportedError):
            await backend.update_collection("things", index)
    assert len(emulator.called("Update")) == 1
    assert collection.spec.index == HnswIndex()


async def test_another_vecgate_server_follows_a_changed_index(
    start_backend: Any, emulator: QdrantEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await start_backend(), await start_backend()
    await made(one)
    held = await two.collection("things")
    await one.update_collection("things", HnswIndex(ef=77))
    monkeypatch.setattr(backend_module, "FRESH_SECONDS", 0.0)
    collection = await two.collection("things")
    assert collection is held
    await store_records(collection, ["a"])
    await collection.search("", random_vectors(1), SearchOptions(top_k=1))
    (call,) = emulator.called("QueryBatch")
    assert call.query_points[0].params.hnsw_ef == 77


async def test_searches_carry_their_breadth_and_quantized_ones_are_scored_again(
    emulator: QdrantEmulator, start_backend: Any
) -> None:
    backend = await start_backend(quantization={"scalar": {"type": "int8"}})
    collection = await made(backend, replace(SPEC, index=HnswIndex(ef=77)))
    await store_records(collection, ["a", "b"])
    for options in (SearchOptions(top_k=2), SearchOptions(top_k=2, ef=9), SearchOptions(top_k=2, exact=True)):
        await collection.search("", random_vectors(1), options)
    asked = [call.query_points[0].params for call in emulator.called("QueryBatch")]
    assert [each.hnsw_ef for each in asked] == [77, 9, 0]
    assert [each.exact for each in asked] == [False, False, True]
    assert all(each.quantization.rescore for each in asked)


async def test_an_answer_that_came_out_short_is_completed_exactly(
    emulator: QdrantEmulator, backend: QdrantBackend
) -> None:
    collection = await made(backend)
    await store_records(collection, ["a", "b", "c"])
    (hits,) = await collection.search("", random_vectors(1), SearchOptions(top_k=3))
    assert not hits.explanation.details["exact"]
    (hits,) = await collection.search("", random_vectors(1), SearchOptions(top_k=4))
    assert hits.explanation.details["exact"]
    assert [call.query_points[0].params.exact for call in emulator.called("QueryBatch")] == [False, False, True]


async def test_a_flat_collection_has_no_graph_and_is_searched_exactly(
    emulator: QdrantEmulator, backend: QdrantBackend
) -> None:
    collection = await made(backend, replace(SPEC, index=FlatIndex()))
    assert emulator.called("Create")[0].hnsw_config.m == 0
    assert emulator.called("Create")[0].hnsw_config.HasField("m")
    await store_records(collection, ["a"])
    await collection.search("", random_vectors(1), SearchOptions(top_k=5))
    assert [call.query_points[0].params.exact for call in emulator.called("QueryBatch")] == [True]


async def test_many_queries_go_in_few_calls(emulator: QdrantEmulator, backend: QdrantBackend) -> None:
    collection = await made(backend)
    await store_records(collection, list("abcdefghijk"))
    answers = await collection.search("", random_vectors(130), SearchOptions(top_k=10))
    assert len(answers) == 130
    assert [len(call.query_points) for call in emulator.called("QueryBatch")] == [64, 64, 2]


async def test_a_field_is_indexed_when_a_filter_first_uses_it(emulator: QdrantEmulator, backend: QdrantBackend) -> None:
    collection = await made(backend)
    node = In("size", ("large", 3))
    for _ in range(2):
        await found_ids(collection, node)
        await listed_ids(collection, Compare("born", Order.LT, Timestamp(5)))
    names = [call.field_name for call in emulator.called("CreateFieldIndex")]
    assert sorted(names) == ['"h:size"', '"n:size"', '"s:size"', '"t:born"', "ns"]
    assert not emulator.called("CreateFieldIndex")[-1].wait


async def test_nothing_is_indexed_on_use_where_that_is_turned_off(emulator: QdrantEmulator, start_backend: Any) -> None:
    collection = await made(await start_backend(index_used_fields=False))
    await found_ids(collection, Eq("size", 3))
    assert [call.field_name for call in emulator.called("CreateFieldIndex")] == ["ns"]


async def test_a_unit_vector_is_stored_once_and_another_with_its_original(
    emulator: QdrantEmulator, backend: QdrantBackend
) -> None:
    collection = await made(backend)
    vectors = random_vectors(2)
    vectors[0] /= np.linalg.norm(vectors[0])
    await store_records(collection, ["unit", "longer"], vectors=vectors)
    stored = {point.payload["id"].string_value: point for point in emulator.called("Upsert")[0].points}
    assert "vector" not in stored["unit"].payload
    assert "vector" in stored["longer"].payload
    (unit,) = stored["unit"].vectors.vectors.vectors.values()
    assert np.array(unit.dense.data, np.float32).tobytes() == vectors[0].tobytes()
    records = await collection.get("", ["unit", "longer"], ALL_FIELDS)
    assert [record.vector.tobytes() for record in records if record and record.vector is not None] == [
        vector.tobytes() for vector in vectors
    ]


@pytest.mark.parametrize("fields", [IDS_ONLY, ALL_FIELDS], ids=["ids", "all"])
async def test_inner_products_whose_large_terms_cancel_out_are_exact(fields: Fields, backend: QdrantBackend) -> None:
    collection = await made(backend, replace(SPEC, metric=Metric.DOT))
    vectors = random_vectors(50) * np.float32(1e4)
    vectors[:, 5] = -(vectors[:, :5].sum(axis=1))
    stored = {f"{number:02}": vector for number, vector in enumerate(vectors)}
    await store_records(collection, list(stored), vectors=vectors)
    queries = np.full((1, 6), 1e4, np.float32)
    (hits,) = await collection.search("", queries, SearchOptions(top_k=50, exact=True, fields=fields))
    Oracle(Metric.DOT, stored).check(hits, queries[0], top_k=50)
    (plain,) = await collection.search("", random_vectors(1), SearchOptions(top_k=1, fields=IDS_ONLY))
    assert plain.records is None


async def test_vectors_of_ordinary_length_are_multiplied_once(emulator: QdrantEmulator, backend: QdrantBackend) -> None:
    collection = await made(backend, replace(SPEC, metric=Metric.DOT))
    await store_records(collection, ["a", "b"])
    await collection.search("", random_vectors(1), SearchOptions(top_k=2, fields=IDS_ONLY))
    (call,) = emulator.called("QueryBatch")
    assert not call.query_points[0].with_vectors.enable


async def test_large_batches_are_cut_by_number_and_by_size(emulator: QdrantEmulator, start_backend: Any) -> None:
    collection = await made(await start_backend(batch_size=4))
    ids = [str(n) for n in range(10)]
    await store_records(collection, ids)
    assert [len(call.points) for call in emulator.called("Upsert")] == [4, 4, 2]
    await store_records(collection, ids[:3], texts=["x" * 3_000_000] * 3)
    assert [len(call.points) for call in emulator.called("Upsert")[3:]] == [1, 1, 1]
    assert all(call.wait for call in emulator.called("Upsert"))


async def test_columns_of_different_lengths_store_nothing(backend: QdrantBackend) -> None:
    collection = await made(backend)
    with pytest.raises(ValueError, match="columns"):
        await upsert(collection, replace(batch_of(["a", "b"]), texts=[None]))
    assert await count_all(collection) == 0


async def test_another_vecgate_server_sees_settings_and_records(start_backend: Any) -> None:
    one, two = await start_backend(), await start_backend()
    spec = CollectionSpec(
        "things", 6, Metric.DOT, ModelBinding("m", "sha256:ab", "query: "), HnswIndex(8, 50, 30), Timestamp(5, 7)
    )
    token = (await store_records(await made(one, spec), ["a"])).consistency_token
    collection = await two.collection("things")
    assert collection.spec == spec
    assert await collection.count("", Everything(), consistency_token=token) == 1
    with pytest.raises(CollectionExistsError):
        await two.create_collection(spec)


async def test_of_inserts_through_two_servers_one_succeeds(start_backend: Any) -> None:
    one, two = await start_backend(), await start_backend()
    await one.create_collection(SPEC)
    handles = [await one.collection("things"), await two.collection("things")]
    for round_number in range(5):
        name = f"record {round_number}"
        results = await asyncio.gather(
            *(
                upsert(handle, batch_of([name], texts=[f"{number}"]), mode=WriteMode.INSERT)
                for number, handle in enumerate(handles * 4)
            )
        )
        errors = [result.errors[0] for result in results]
        assert errors.count(None) == 1
        assert {type(error) for error in errors} == {type(None), RecordExistsError}
        (record,) = await handles[0].get("", [name], ALL_FIELDS)
        assert record is not None
        assert record.text == str(errors.index(None))


async def test_a_collection_made_again_by_another_server_is_not_touched_through_an_old_handle(
    start_backend: Any, emulator: QdrantEmulator
) -> None:
    one, two = await start_backend(), await start_backend()
    await store_records(await made(one), ["a"])
    token = (await store_records(await one.collection("things"), ["b"])).consistency_token
    stale = {}
    for operation in ("upsert", "search", "get", "count", "list", "stats", "delete", "update", "size"):
        other = await start_backend()
        stale[operation] = await other.collection("things")
    await two.delete_collection("things")
    await store_records(await made(two), ["a", "c"])
    changes = MetadataChanges({"n": 1}, frozenset())
    calls = {
        "upsert": upsert(stale["upsert"], batch_of(["b"])),
        "search": stale["search"].search("", random_vectors(1), SearchOptions()),
        "get": stale["get"].get("", ["a"], IDS_ONLY),
        "count": stale["count"].count("", Everything()),
        "list": stale["list"].list_records("", None, cursor=None, limit=5, fields=IDS_ONLY),
        "stats": stale["stats"].field_stats("", "n", None, limit=5),
        "delete": stale["delete"].delete("", Everything(), dry_run=False, acknowledgement=SEARCHABLE),
        "update": stale["update"].update_metadata("", Everything(), changes, acknowledgement=SEARCHABLE),
        "size": stale["size"].size(),
    }
    outcomes = dict(zip(calls, await asyncio.gather(*calls.values(), return_exceptions=True), strict=True))
    assert {name: type(outcome) for name, outcome in outcomes.items()} == dict.fromkeys(calls, CollectionNotFoundError)
    fresh = await two.collection("things")
    assert {record.id: record.metadata for record in await list_all(fresh)} == {"a": {}, "c": {}}
    with pytest.raises(TokenInvalidError):
        await fresh.count("", Everything(), consistency_token=token)


async def test_a_collection_is_looked_up_again_after_a_while(
    start_backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_module, "FRESH_SECONDS", 0.0)
    one, two = await start_backend(), await start_backend()
    old = await made(one)
    assert await one.collection("things") is old
    await two.delete_collection("things")
    with pytest.raises(CollectionNotFoundError):
        await one.collection("things")
    await two.create_collection(replace(SPEC, dimension=3))
    assert (await one.collection("things")).spec.dimension == 3


async def test_collections_of_others_are_left_alone(emulator: QdrantEmulator, backend: QdrantBackend) -> None:
    vectors = models.VectorParams(size=3, distance=models.Distance.COSINE)
    emulator.engine.create_collection("vecgate-foreign", vectors_config=vectors)
    emulator.engine.create_collection("else", vectors_config=vectors)
    assert list(await backend.list_collections()) == []
    with pytest.raises(CollectionNotFoundError):
        await backend.collection("foreign")
    with pytest.raises(CollectionNotFoundError):
        await backend.delete_collection("foreign")
    with pytest.raises(CollectionExistsError):
        await backend.create_collection(replace(SPEC, name="foreign"))


@pytest.mark.parametrize("settings", [{"format": 99}, {"format": 1}, {}], ids=["newer", "damaged", "empty"])
async def test_settings_that_cannot_be_read_are_corrupt(
    settings: dict[str, int], emulator: QdrantEmulator, backend: QdrantBackend
) -> None:
    vectors = models.VectorParams(size=3, distance=models.Distance.COSINE)
    emulator.engine.create_collection("vecgate-things", vectors_config=vectors, metadata={"vecgate": settings})
    with pytest.raises(StorageCorruptError):
        await backend.collection("things")


async def test_an_index_that_its_maker_did_not_come_to_is_made_later(
    emulator: QdrantEmulator, start_backend: Any
) -> None:
    one, two = await start_backend(), await start_backend()
    await store_records(await made(one), ["a"], namespace="n")
    emulator.schemas.clear()
    assert (await (await two.collection("things")).size()).namespaces == {"n": 1}


async def test_tokens_are_refused_where_writes_wait_for_some_replicas_only(start_backend: Any) -> None:
    backend = await start_backend(replication_factor=3, write_consistency_factor=1)
    assert not backend.capabilities.consistency_tokens
    collection = await made(backend)
    token = (await store_records(collection, ["a"])).consistency_token
    with pytest.raises(UnsupportedError, match="write_consistency_factor"):
        await collection.count("", Everything(), consistency_token=token)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"attempts": 0}, "attempts"),
        ({"batch_size": 0}, "batch_size"),
        ({"connections": 0}, "connections"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"write_timeout_seconds": -1.0}, "write_timeout_seconds"),
        ({"url": "localhost:6333"}, "url"),
        ({"prefix": ""}, "prefix"),
        ({"hnsw": {"links": 8}}, "hnsw.links"),
        ({"optimizers": {"indexing_threshold": "many"}}, "optimizers.indexing_threshold"),
        ({"quantization": {"scalr": {}}}, "quantization"),
    ],
)
async def test_options_that_cannot_be_meant_end_the_start(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        await QdrantBackend(QdrantOptions(**options)).start()


async def test_metadata_that_changes_its_type_leaves_nothing_behind(backend: QdrantBackend) -> None:
    collection = await made(backend)
    values: list[MetadataValue] = ["text", ("a", "b"), (), 1, 0.1 + 0.2, 2**60, True, Timestamp(1, 2)]
    await store_records(collection, ["a"], metadata=[{"other": 1}])
    for value in values:
        changes = MetadataChanges({"f": value}, frozenset())
        await collection.update_metadata("", Everything(), changes, acknowledgement=SEARCHABLE)
        expected: Metadata = {"other": 1, "f": value}
        assert [record.metadata for record in await list_all(collection)] == [expected]
    removal = MetadataChanges({}, frozenset({"f"}))
    await collection.update_metadata("", Everything(), removal, acknowledgement=SEARCHABLE)
    assert [record.metadata for record in await list_all(collection)] == [{"other": 1}]


async def test_a_search_does_not_wait_for_its_index_and_a_close_does(
    emulator: QdrantEmulator, backend: QdrantBackend
) -> None:
    collection = await made(backend)
    await found_ids(collection, Eq("size", 3))
    await backend.close()
    assert {call.field_name for call in emulator.called("CreateFieldIndex")} == {"ns", '"n:size"', '"h:size"'}


async def test_a_search_is_answered_where_no_index_can_be_made(
    emulator: QdrantEmulator, backend: QdrantBackend, caplog: pytest.LogCaptureFixture
) -> None:
    collection = await made(backend)
    await store_records(collection, ["a"], metadata=[{"size": 3}])
    emulator.script("CreateFieldIndex", Refuse(grpc.StatusCode.PERMISSION_DENIED, "read only"))
    assert await found_ids(collection, Eq("size", 3)) == ["a"]
    await backend.close()
    assert "no payload index" in caplog.text
