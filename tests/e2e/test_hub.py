"""The published models as they come from the hub, through a real server, against sentence-transformers.

Gigabytes are downloaded, so these run when they are asked for: VECGATE_TEST_HUB=1, or `make test-hub`.
"""

from __future__ import annotations

import os
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from numpy.typing import NDArray

from vecgate.v1.encode_pb2 import ROLE_DOCUMENT, EncodeRequest
from vecgate.v1.model_pb2 import MODEL_KIND_CROSS_ENCODER, MODEL_STATE_READY, ListModelsRequest, RerankRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate_server.encoders.catalogue import CATALOGUE

# A download, an export and its check take minutes for the larger ones.
pytestmark = [
    pytest.mark.hub,
    pytest.mark.timeout(3_600),
    pytest.mark.skipif(
        os.environ.get("VECGATE_TEST_HUB") != "1", reason="downloads gigabytes from the hub: VECGATE_TEST_HUB=1"
    ),
]

LOAD_SECONDS = 3_000
CROSS_ENCODER = "cross-encoder/ms-marco-MiniLM-L6-v2"
PUBLISHED = [
    ("all-MiniLM-L6-v2", 384, 256),
    ("multi-qa-MiniLM-L6-cos-v1", 384, 512),
    ("all-mpnet-base-v2", 768, 384),
    ("distiluse-base-multilingual-cased", 512, 128),
]
TEXTS = [
    "",
    "cat",
    "The cat sat on the mat.",
    "Die Katze saß auf der Matte.",
    "猫がマットの上に座った。",
    "A text that is longer than any of these models reads. " * 60,
]


@pytest.mark.parametrize(("name", "dimension", "max_tokens"), PUBLISHED, ids=[name for name, *_ in PUBLISHED])
async def test_a_published_model_gives_the_vectors_of_sentence_transformers(
    start_server: Any, name: str, dimension: int, max_tokens: int
) -> None:
    server = start_server({"models": {"default": name}})
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = VectorSearchServiceStub(channel)
        request = EncodeRequest(texts=TEXTS, role=ROLE_DOCUMENT)
        answer = await stub.Encode(request, timeout=LOAD_SECONDS)
        models = (await stub.ListModels(ListModelsRequest())).models
    (model,) = [model for model in models if model.is_default]
    assert (model.name, model.state) == (name, MODEL_STATE_READY)
    assert (model.dimension, model.max_tokens, model.runtime) == (dimension, max_tokens, "onnx")
    vectors = np.stack([np.frombuffer(each.vector.packed, "<f4") for each in answer.embeddings])
    assert cosines(vectors, reference_vectors(name)).min() >= 0.99999
    assert [each.encoded.truncated for each in answer.embeddings] == [False] * (len(TEXTS) - 1) + [True]


async def test_a_published_cross_encoder_gives_the_scores_of_sentence_transformers(start_server: Any) -> None:
    from sentence_transformers import CrossEncoder

    query = "How many people live in Berlin?"
    texts = ["Berlin had 3,520,031 registered inhabitants.", "Berlin is well known for its museums.", ""]
    server = start_server(
        {"models": {"available": [{"name": "all-MiniLM-L6-v2"}, {"name": CROSS_ENCODER}], "preload": []}}
    )
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = VectorSearchServiceStub(channel)
        request = RerankRequest(model=CROSS_ENCODER, query=query, texts=texts)
        answer = await stub.Rerank(request, timeout=LOAD_SECONDS)
        models = (await stub.ListModels(ListModelsRequest())).models
    (model,) = [model for model in models if model.name == CROSS_ENCODER]
    assert model.kind == MODEL_KIND_CROSS_ENCODER
    expected = CrossEncoder(CROSS_ENCODER, device="cpu").predict([(query, text) for text in texts])
    assert list(answer.scores) == pytest.approx(expected.tolist(), abs=1e-4)


def reference_vectors(name: str) -> NDArray[np.float32]:
    from sentence_transformers import SentenceTransformer

    published = CATALOGUE[name]
    model = SentenceTransformer(published.hub_id, revision=published.revision, device="cpu")
    vectors: NDArray[np.float32] = model.encode(TEXTS)
    return vectors


def cosines(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return np.asarray((ours.astype(np.float64) * theirs).sum(axis=1) / lengths, np.float64)
