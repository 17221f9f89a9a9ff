"""Upsert encodes a text only if the record is not stored with it already, as the same model read it."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecgate.v1.filter_pb2 import IdList, Selector
from vecgate.v1.metadata_pb2 import Value
from vecgate.v1.outcome_pb2 import TRUNCATION_POLICY_TRUNCATE, EncodedText
from vecgate.v1.record_pb2 import Record
from vecgate.v1.vector_pb2 import Vector
from vecgate.v1.write_pb2 import WRITE_MODE_INSERT, WRITE_MODE_UPDATE, DeleteRequest, UpdateMetadataRequest
from vecgate_backends.errors import BackendUnavailableError
from vecgate_backends.memory.collection import MemoryCollection
from vecgate_server.errors import ModelUnavailableError

A = Record(id="a", text="one two")
GIVEN = Vector(packed=np.arange(1, 5, dtype="<f4").tobytes())


def with_year(record: Record, year: int) -> Record:
    changed = Record(metadata={"year": Value(int_value=year)})
    changed.MergeFrom(record)
    return changed


async def test_an_unchanged_text_is_not_encoded_again_and_the_record_is_written(bench: Any) -> None:
    first, asked = await bench.upsert(A, Record(id="b", text=""))
    assert asked == ["one two", ""]
    assert [outcome.encoded for outcome in first.outcomes] == [EncodedText(tokens=2), EncodedText()]
    for year in (1, 2):
        again, asked = await bench.upsert(with_year(A, year), Record(id="b", text=""))
        assert asked == []
        assert [outcome.encoded for outcome in again.outcomes] == [
            EncodedText(tokens=2, reused=True),
            EncodedText(reused=True),
        ]
        assert (again.stored_count, again.searchable, again.model) == (2, True, first.model)
        assert again.consistency_token not in {"", first.consistency_token}
        assert (again.timings.encode_ns, again.timings.backend_ns > 0) == (0, True)
        a, b = await bench.stored("a", "b")
        assert (a.metadata, b.metadata) == ({"year": year}, {})
        assert (a.vector.tobytes(), b.vector.tobytes()) == (
            bench.vector_of("one two").tobytes(),
            bench.vector_of("").tobytes(),
        )


async def test_only_changed_and_new_texts_are_encoded(bench: Any) -> None:
    await bench.upsert(A, Record(id="b", text="b"), Record(id="c", text="c"))
    response, asked = await bench.upsert(
        A, Record(id="b", text="changed"), Record(id="d", text="one two"), Record(id="c", text="c", vector=GIVEN)
    )
    assert asked == ["changed", "one two"]
    assert [outcome.encoded.reused for outcome in response.outcomes] == [True, False, False, False]
    assert [outcome.HasField("encoded") for outcome in response.outcomes] == [True, True, True, False]


async def test_a_vector_of_the_caller_is_never_taken_for_the_model_s(bench: Any) -> None:
    await bench.upsert(A)
    await bench.upsert(Record(id="a", text="one two", vector=GIVEN))
    _, asked = await bench.upsert(A)
    assert asked == ["one two"]
    # The very vector that the model would make does not say that it made it.
    own = Vector(packed=bench.vector_of("one two").astype("<f4").tobytes())
    await bench.upsert(Record(id="a", text="one two", vector=own))
    _, asked = await bench.upsert(A)
    assert asked == ["one two"]


async def test_a_stored_vector_is_taken_after_metadata_changed_and_after_a_reopen(bench: Any) -> None:
    await bench.upsert(A)
    change = UpdateMetadataRequest(
        collection="notes", selector=Selector(all=True), set={"seen": Value(bool_value=True)}
    )
    await bench.handlers.update_metadata(change)
    await bench.reopen()
    _, asked = await bench.upsert(A)
    assert asked == []


async def test_a_deleted_record_is_encoded_again(bench: Any) -> None:
    await bench.upsert(A)
    await bench.handlers.delete(DeleteRequest(collection="notes", selector=Selector(ids=IdList(ids=["a"]))))
    _, asked = await bench.upsert(A)
    assert asked == ["one two"]


async def test_a_record_of_another_namespace_says_nothing(bench: Any) -> None:
    await bench.upsert(A, namespace="elsewhere")
    for expected in (["one two"], []):
        for namespace in ("", "third"):
            _, asked = await bench.upsert(A, namespace=namespace)
            assert asked == expected


async def test_each_of_two_records_with_one_id_is_compared_with_what_is_stored(bench: Any) -> None:
    await bench.upsert(A)
    response, asked = await bench.upsert(A, Record(id="a", text="changed"), A, Record(id="a", text="last"))
    assert asked == ["changed", "last"]
    assert [outcome.encoded.reused for outcome in response.outcomes] == [True, False, True, False]
    (stored,) = await bench.stored("a")
    assert (stored.text, stored.vector.tobytes()) == ("last", bench.vector_of("last").tobytes())
    _, asked = await bench.upsert(Record(id="a", text="last"))
    assert asked == []


async def test_insert_and_update_refuse_as_ever(bench: Any) -> None:
    await bench.upsert(A)
    response, asked = await bench.upsert(A, Record(id="b", text="new"), mode=WRITE_MODE_INSERT)
    assert asked == ["new"]
    assert [outcome.error.reason for outcome in response.outcomes] == ["RECORD_EXISTS", ""]
    response, asked = await bench.upsert(A, Record(id="c", text="one two"), mode=WRITE_MODE_UPDATE)
    assert asked == ["one two"]
    assert [outcome.error.reason for outcome in response.outcomes] == ["", "RECORD_NOT_FOUND"]


async def test_a_stored_text_that_was_cut_is_told_so_and_refused_where_cutting_was_not_asked_for(bench: Any) -> None:
    long = Record(id="long", text="one two three four five")
    await bench.upsert(long, truncation=TRUNCATION_POLICY_TRUNCATE)
    again, asked = await bench.upsert(long, truncation=TRUNCATION_POLICY_TRUNCATE)
    assert (asked, again.outcomes[0].encoded) == ([], EncodedText(tokens=3, truncated=True, reused=True))
    refused, asked = await bench.upsert(long)
    encoded, _ = await bench.upsert(Record(id="other", text=long.text))
    assert asked == []
    assert (refused.stored_count, refused.outcomes[0].error) == (0, encoded.outcomes[0].error)
    assert refused.outcomes[0].error.reason == "TEXT_TOO_LONG"
    assert not refused.outcomes[0].HasField("encoded")
    assert refused.model == encoded.model
    (stored,) = await bench.stored("long")
    assert stored.vector.tobytes() == bench.vector_of("one two three").tobytes()


async def test_a_model_that_has_the_vectors_already_need_not_be_there(bench: Any) -> None:
    await bench.upsert(A)
    loads = bench.models.loads
    _, asked = await bench.upsert(A)
    assert (asked, bench.models.loads) == ([], loads)


async def test_a_model_that_was_never_loaded_is_loaded_to_check_the_binding(bench: Any) -> None:
    await bench.upsert(A)
    bench.models.known = False
    loads = bench.models.loads
    _, asked = await bench.upsert(A)
    assert (asked, bench.models.loads) == ([], loads + 1)


@pytest.mark.parametrize("known", [True, False], ids=["loaded", "never loaded"])
async def test_another_model_refuses_unchanged_text_too(known: bool, bench: Any) -> None:
    await bench.upsert(A)
    bench.models.retrain("sha256:bb")
    bench.models.known = known
    response, asked = await bench.upsert(A, Record(id="own", text="x", vector=GIVEN))
    assert asked == []
    assert [outcome.error.reason for outcome in response.outcomes] == ["MODEL_MISMATCH", ""]
    assert (response.stored_count, response.HasField("model")) == (1, False)


async def test_a_model_that_is_not_configured_any_more_refuses_unchanged_text_too(bench: Any) -> None:
    await bench.upsert(A)
    bench.models.one.description = replace(bench.models.one.description, name="other")
    response, _ = await bench.upsert(A)
    assert response.outcomes[0].error.reason == "MODEL_MISMATCH"


async def test_nothing_is_read_for_a_batch_of_vectors(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise BackendUnavailableError("was read")

    collection = await bench.backend.collection("notes")
    monkeypatch.setattr(type(collection), "get", refuse)
    response, _ = await bench.upsert(Record(id="a", vector=GIVEN))
    assert response.stored_count == 1
    with pytest.raises(BackendUnavailableError, match="was read"):
        await bench.upsert(A)


async def test_a_call_that_cannot_encode_what_is_left_stores_nothing(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.upsert(A)

    async def break_down(*_: object, **__: object) -> None:
        raise ModelUnavailableError("broke down")

    monkeypatch.setattr(type(bench.models.one), "encode", break_down)
    with pytest.raises(ModelUnavailableError):
        await bench.upsert(with_year(A, 1), Record(id="b", text="new"))
    assert [record and record.metadata for record in await bench.stored("a", "b")] == [{}, None]


async def test_a_backend_that_keeps_no_stamps_is_never_asked(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = bench.backend.capabilities
    monkeypatch.setattr(type(bench.backend), "capabilities", property(lambda _: replace(kept, encoding_stamps=False)))
    for _ in range(2):
        response, asked = await bench.upsert(A)
        assert (asked, response.outcomes[0].encoded.reused) == (["one two"], False)
    (stored,) = await bench.stored("a")
    assert stored.encoding_stamp == b""


@pytest.mark.parametrize("stamp", [b"", b"\x02" + bytes(21), bytes(22), b"\x01" + bytes(21), bytes(100)])
async def test_a_stamp_that_says_nothing_means_encode_again(
    stamp: bytes, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.upsert(A)
    collection = await bench.backend.collection("notes")
    read = type(collection).get

    async def damaged(*what: Any, **how: Any) -> Any:
        return [record and replace(record, encoding_stamp=stamp) for record in await read(*what, **how)]

    monkeypatch.setattr(type(collection), "get", damaged)
    response, asked = await bench.upsert(A)
    assert (asked, response.outcomes[0].encoded.reused) == (["one two"], False)


async def test_a_stamp_beside_another_vector_means_encode_again(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.upsert(A)
    collection = await bench.backend.collection("notes")
    read = type(collection).get

    async def rounded(*what: Any, **how: Any) -> Any:
        records = await read(*what, **how)
        return [record and replace(record, vector=np.nextafter(record.vector, np.float32(9))) for record in records]

    monkeypatch.setattr(type(collection), "get", rounded)
    _, asked = await bench.upsert(A)
    assert asked == ["one two"]


async def test_a_stored_vector_that_cannot_be_read_is_replaced(
    tmp_path: Path, open_bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_bench("faiss", tmp_path) as bench:
        await bench.upsert(A)
        truth = tmp_path / "collections" / bench.backend._open["notes"].entry.uid / "records.db"
        with closing(sqlite3.connect(truth)) as connection, connection:
            connection.execute("UPDATE vectors SET vector = zeroblob(16)")
        (await bench.backend.collection("notes"))._reader.pin()  # as the next commit would
        with caplog.at_level(logging.WARNING):
            _, asked = await bench.upsert(A)
        assert asked == ["one two"]
        assert "the vector of record 'a' does not match its checksum" in caplog.text
        _, asked = await bench.upsert(A)
        assert asked == []


async def test_a_record_deleted_between_the_read_and_the_write_is_stored_whole(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.upsert(A)
    collection = await bench.backend.collection("notes")
    write = type(collection).upsert

    async def after_a_delete(self: MemoryCollection, *what: Any, **how: Any) -> Any:
        await bench.handlers.delete(DeleteRequest(collection="notes", selector=Selector(all=True)))
        return await write(self, *what, **how)

    with monkeypatch.context() as patch:
        patch.setattr(type(collection), "upsert", after_a_delete)
        response, asked = await bench.upsert(A)
    assert (asked, response.stored_count) == ([], 1)
    (stored,) = await bench.stored("a")
    assert (stored.text, stored.vector.tobytes()) == ("one two", bench.vector_of("one two").tobytes())


async def test_a_text_that_is_encoded_as_zeros_is_refused_alone_where_zeros_have_no_direction(bench: Any) -> None:
    for _ in range(2):  # nothing is stored that the second one could reuse
        response, asked = await bench.upsert(A, Record(id="z", text="unknown"))
        error = response.outcomes[1].error
        assert (error.reason, error.field_violations[0].field) == ("ZERO_VECTOR", "records[1].text")
        assert (response.stored_count, response.failed_count) == (1, 1)
        assert "unknown" in asked
        a, z = await bench.stored("a", "z")
        assert a is not None
        assert z is None
