"""Published figures of all-MiniLM-L6-v2, reproduced through the running server; shared/data/README.md defines the metrics."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from benchmarks.datasets import question_set, sentence_pairs
from benchmarks.quality import ndcg_at_10, spearman
from numpy.typing import NDArray

from vecgate.v1.collection_pb2 import CreateCollectionRequest
from vecgate.v1.encode_pb2 import ROLE_DOCUMENT, EncodeRequest
from vecgate.v1.outcome_pb2 import TRUNCATION_POLICY_TRUNCATE
from vecgate.v1.record_pb2 import Record
from vecgate.v1.search_pb2 import MATCH_LAYOUT_COLUMNS, Query, SearchOptions, SearchRequest
from vecgate.v1.write_pb2 import UpsertRequest

if TYPE_CHECKING:
    from vecgate.v1.encode_pb2 import Embedding
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub

# Encoding a thousand texts on two cores takes most of a minute.
pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]

BATCH = 256
CALLS_AT_ONCE = 100


async def encode(stub: VectorSearchServiceAsyncStub, texts: Sequence[str]) -> list[Embedding]:
    embeddings: list[Embedding] = []
    for start in range(0, len(texts), BATCH):
        request = EncodeRequest(texts=texts[start : start + BATCH], role=ROLE_DOCUMENT)
        embeddings += (await stub.Encode(request)).embeddings
    return embeddings


def as_matrix(embeddings: Sequence[Embedding]) -> NDArray[np.float32]:
    return np.stack([np.frombuffer(embedding.vector.packed, "<f4") for embedding in embeddings])


async def test_encode_reproduces_the_golden_embeddings(
    model_stub: VectorSearchServiceAsyncStub, test_data: Path
) -> None:
    golden = np.load(test_data / "golden_minilm" / "embeddings.npz")["embeddings"]
    texts = json.loads((test_data / "golden_minilm" / "texts.json").read_text(encoding="utf-8"))
    embeddings = await encode(model_stub, [text["text"] for text in texts])
    cosines = np.einsum("ij,ij->i", as_matrix(embeddings).astype(np.float64), golden.astype(np.float64))
    assert len(cosines) == 184
    assert cosines.min() >= 0.99999
    assert [embedding.encoded.tokens for embedding in embeddings] == [text["tokens"] for text in texts]


async def test_similarity_of_sentences_correlates_with_people_as_published(
    model_stub: VectorSearchServiceAsyncStub, test_data: Path
) -> None:
    rated = sentence_pairs(test_data)
    texts = sorted({sentence for pair in rated.pairs for sentence in pair})
    vectors = dict(zip(texts, as_matrix(await encode(model_stub, texts)), strict=True))
    cosines = [float(vectors[first] @ vectors[second]) for first, second in rated.pairs]
    assert len(cosines) == 1_379
    assert spearman(cosines, rated.scores) == pytest.approx(82.03, abs=0.05)


async def test_questions_find_their_paragraphs_as_published(
    model_stub: VectorSearchServiceAsyncStub, test_data: Path, collection: str
) -> None:
    asked = question_set(test_data)
    await model_stub.CreateCollection(CreateCollectionRequest(name=collection))
    documents = [Record(id=name, text=text) for name, text in asked.documents.items()]
    stored = await model_stub.Upsert(
        UpsertRequest(collection=collection, records=documents, truncation=TRUNCATION_POLICY_TRUNCATE)
    )
    assert stored.stored_count == len(documents) == 240

    options = SearchOptions(top_k=10, layout=MATCH_LAYOUT_COLUMNS)
    requests = [
        SearchRequest(collection=collection, query=Query(text=text), options=options)
        for text in asked.questions.values()
    ]
    answers = []
    for start in range(0, len(requests), CALLS_AT_ONCE):
        answers += await asyncio.gather(*(model_stub.Search(each) for each in requests[start : start + CALLS_AT_ONCE]))
    found = {name: list(answer.result.columns.ids) for name, answer in zip(asked.questions, answers, strict=True)}
    assert ndcg_at_10(found, asked.judgments) == pytest.approx(94.36, abs=0.1)
