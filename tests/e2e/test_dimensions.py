"""Vectors cut to their first components (Matryoshka): encoded, stored and searched, on a real socket."""

# ruff: noqa: ARG002  # stand-ins take what the protocol gives them

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import numpy as np
import pytest

from vecgate import AsyncClient, Fields, InvalidArgumentError, UnimplementedError
from vecgate.v1.collection_pb2 import CreateCollectionRequest, GetCollectionRequest, ModelChoice
from vecgate.v1.encode_pb2 import ROLE_DOCUMENT, EncodeRequest
from vecgate.v1.filter_pb2 import Selector
from vecgate.v1.read_pb2 import GetRequest
from vecgate.v1.record_pb2 import Record, ReturnFields
from vecgate.v1.search_pb2 import Query, SearchOptions, SearchRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate.v1.write_pb2 import UpsertRequest
from vecgate_server.app import Server
from vecgate_server.config import Settings
from vecgate_server.encoders.base import (
    CrossEncoder,
    Encoder,
    EncodeTimings,
    Encoding,
    LongText,
    ModelDescription,
    ModelStatus,
    Role,
)
from vecgate_server.errors import ModelKindError

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub

VECTORS = {"near": [3, 4, 12, 0], "far": [-4, 3, 12, 0], "flat": [0, 0, 1, 0]}
"""Whole, the two first ones differ little; cut to two components they stand at a right angle."""
MINILM = "all-MiniLM-L6-v2"


class FourDimensions:
    """The only model; reads the words of VECTORS, and may be cut to the lengths it declares."""

    ready = True

    def __init__(self) -> None:
        self.lengths: tuple[int, ...] = (1, 2)

    @property
    def description(self) -> ModelDescription:
        return ModelDescription(
            "four", "sha256:4", 4, 8, "", "", normalized=True, runtime="none", source="test",
            matryoshka_dimensions=self.lengths,
        )  # fmt: skip

    async def encode(self, texts: Sequence[str], role: Role, *, long_text: LongText = LongText.TRUNCATE) -> Encoding:
        whole = np.array([VECTORS[text] for text in texts], np.float32)
        no = np.zeros(len(texts), np.bool_)
        whole /= np.linalg.norm(whole, axis=1, keepdims=True)
        return Encoding(whole, np.ones(len(texts), np.int32), no, no, EncodeTimings())

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def encoder(self, name: str | None) -> Encoder:
        return self

    async def cross_encoder(self, name: str) -> CrossEncoder:
        raise ModelKindError("none here")

    def statuses(self) -> Sequence[ModelStatus]:
        return []


@asynccontextmanager
async def serving(model: FourDimensions) -> AsyncIterator[tuple[str, VectorSearchServiceAsyncStub]]:
    settings = {"server": {"port": 0}, "backends": {"memory": {"kind": "memory"}}}
    async with (
        Server(Settings.model_validate(settings), models=model) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield server.address, VectorSearchServiceStub(channel)


async def test_encode_gives_the_first_components_at_length_1_and_a_fingerprint_of_their_own() -> None:
    async with serving(FourDimensions()) as (_, stub):
        texts = ["near", "far", "flat"]
        whole = await stub.Encode(EncodeRequest(texts=texts, role=ROLE_DOCUMENT))
        same = await stub.Encode(EncodeRequest(texts=texts, role=ROLE_DOCUMENT, dimensions=4))
        assert (same.embeddings, same.model) == (whole.embeddings, whole.model)
        short = await stub.Encode(EncodeRequest(texts=texts, role=ROLE_DOCUMENT, dimensions=2))
        vectors = np.stack([np.frombuffer(each.vector.packed, "<f4") for each in short.embeddings])
        np.testing.assert_allclose(vectors, np.array([[0.6, 0.8], [-0.8, 0.6], [0, 0]]), rtol=1e-6)
        assert short.model.name == "four"
        assert short.model.fingerprint not in {"", whole.model.fingerprint}


async def test_a_collection_of_shortened_vectors_is_written_and_searched_by_text(refusal: Any) -> None:
    model = FourDimensions()
    async with serving(model) as (_, stub):
        create = CreateCollectionRequest(name="short", model=ModelChoice(name="four", dimensions=2), if_not_exists=True)
        made = (await stub.CreateCollection(create)).collection
        encoded = await stub.Encode(EncodeRequest(texts=["near"], role=ROLE_DOCUMENT, dimensions=2))
        assert (made.dimension, made.model.fingerprint) == (2, encoded.model.fingerprint)
        records = [Record(id=text, text=text) for text in ("near", "far")]
        written = await stub.Upsert(UpsertRequest(collection="short", records=records))
        assert (written.stored_count, written.model) == (2, encoded.model)
        found = await stub.Search(SearchRequest(collection="short", query=Query(text="near")))
        assert [(match.id, round(match.score, 5)) for match in found.result.matches] == [("near", 1), ("far", 0)]
        assert found.model == encoded.model
        own = SearchOptions(vector_fingerprint=encoded.model.fingerprint)
        query = Query(vector=encoded.embeddings[0].vector)
        assert (await stub.Search(SearchRequest(collection="short", query=query, options=own))).result.matches
        other = SearchOptions(vector_fingerprint="sha256:4")
        refused = await refusal(stub.Search(SearchRequest(collection="short", query=query, options=other)))
        assert refused.reason == "MODEL_MISMATCH"
        create.model.dimensions = 1
        refused = await refusal(stub.CreateCollection(create))
        assert (refused.reason, "dimension, model" in refused.message) == ("COLLECTION_EXISTS", True)


async def test_a_length_that_is_no_longer_declared_refuses_text_and_takes_vectors(refusal: Any) -> None:
    model = FourDimensions()
    async with serving(model) as (_, stub):
        choice = ModelChoice(name="four", dimensions=2)
        await stub.CreateCollection(CreateCollectionRequest(name="short", model=choice))
        encoded = await stub.Encode(EncodeRequest(texts=["near"], role=ROLE_DOCUMENT, dimensions=2))
        model.lengths = (1,)
        refused = await refusal(stub.Search(SearchRequest(collection="short", query=Query(text="near"))))
        assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_MISMATCH")
        assert "which may be cut to 1" in refused.message
        records = [Record(id="1", text="near"), Record(id="2", vector=encoded.embeddings[0].vector)]
        written = await stub.Upsert(UpsertRequest(collection="short", records=records))
        assert [outcome.error.reason for outcome in written.outcomes] == ["MODEL_MISMATCH", ""]


@pytest.mark.parametrize("dimensions", [3, 5])
async def test_other_lengths_are_refused_with_those_there_are(refusal: Any, dimensions: int) -> None:
    async with serving(FourDimensions()) as (_, stub):
        encode = EncodeRequest(texts=["near"], role=ROLE_DOCUMENT, dimensions=dimensions)
        create = CreateCollectionRequest(name="short", model=ModelChoice(dimensions=dimensions))
        for call in (stub.Encode(encode), stub.CreateCollection(create)):
            refused = await refusal(call)
            assert (refused.code, refused.reason) == (grpc.StatusCode.UNIMPLEMENTED, "DIMENSIONS_UNSUPPORTED")
            assert "4 components, which may be cut to 1, 2" in refused.message


async def test_no_components_at_all_are_refused(refusal: Any) -> None:
    async with serving(FourDimensions()) as (_, stub):
        encoded = await refusal(stub.Encode(EncodeRequest(texts=["near"], role=ROLE_DOCUMENT, dimensions=0)))
        created = await refusal(
            stub.CreateCollection(CreateCollectionRequest(name="s", model=ModelChoice(dimensions=0)))
        )
        assert {encoded.code, created.code} == {grpc.StatusCode.INVALID_ARGUMENT}
        assert encoded.message.startswith("dimensions: 0 is not")
        assert created.message.startswith("model.dimensions: 0 is not")


async def test_the_client_asks_for_shortened_vectors() -> None:
    async with serving(FourDimensions()) as (address, _), AsyncClient(address) as client:
        encoded = await client.encode(["near"], dimensions=2)
        assert encoded.vectors.tolist() == [pytest.approx([0.6, 0.8])]
        collection = await client.create_collection("short", model="four", dimension=2)
        assert (collection.dimension, collection.model) == (2, encoded.model)
        assert (await client.create_collection("raw", dimension=2)).model is None
        with pytest.raises(UnimplementedError, match="DIMENSIONS_UNSUPPORTED"):
            await client.create_collection("other", model="four", dimension=3)
        with pytest.raises(InvalidArgumentError, match="dimensions: -1 is out of range"):
            await client.encode(["near"], dimensions=-1)
        await client.upsert("short", [{"id": "1", "text": "near"}])
        (record,) = await client.get("short", ["1"], fields=Fields(vector=True))
        assert record.vector is not None
        assert record.vector.tolist() == pytest.approx([0.6, 0.8])


@pytest.mark.model
async def test_a_real_model_is_cut_to_the_lengths_its_settings_declare(start_server: Any, refusal: Any) -> None:
    entry = {"name": MINILM, "matryoshka_dimensions": [64, 128]}
    server = start_server({"models": {"available": [entry]}})
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = VectorSearchServiceStub(channel)
        text = "The cat sat on the mat."
        await stub.CreateCollection(
            CreateCollectionRequest(name="short", model=ModelChoice(name=MINILM, dimensions=64))
        )
        records = [Record(id="cat", text=text), Record(id="bond", text="Interest rates rose again last quarter.")]
        assert (await stub.Upsert(UpsertRequest(collection="short", records=records))).stored_count == 2
        found = await stub.Search(SearchRequest(collection="short", query=Query(text="Where is the kitten?")))
        assert [match.id for match in found.result.matches] == ["cat", "bond"]
        whole = await stub.Encode(EncodeRequest(texts=[text], role=ROLE_DOCUMENT))
        expected = np.frombuffer(whole.embeddings[0].vector.packed, "<f4")[:64]
        fields = ReturnFields(vector=True)
        stored = await stub.Get(GetRequest(collection="short", selector=Selector(all=True), fields=fields))
        (vector,) = [record.vector for record in stored.records if record.id == "cat"]
        np.testing.assert_allclose(
            np.frombuffer(vector.packed, "<f4"), expected / np.linalg.norm(expected), rtol=1e-4, atol=1e-6
        )
        made = (await stub.GetCollection(GetCollectionRequest(name="short"))).collection
        assert (made.dimension, made.model.fingerprint == whole.model.fingerprint) == (64, False)
        refused = await refusal(stub.Encode(EncodeRequest(texts=[text], role=ROLE_DOCUMENT, dimensions=100)))
        assert "which may be cut to 64, 128" in refused.message
