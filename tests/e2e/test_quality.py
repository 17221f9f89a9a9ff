"""Published figures of all-MiniLM-L6-v2, reproduced through the running server; shared/data/README.md defines the metrics."""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr  # type: ignore[import-untyped]  # scipy ships no types

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


async def encode(stub: VectorSearchServiceAsyncStub, texts: Sequence[str]) -> list[Embedding]:
    embeddings: list[Embedding] = []
    for start in range(0, len(texts), BATCH):
        request = EncodeRequest(texts=texts[start : start + BATCH], role=ROLE_DOCUMENT)
        embeddings += (await stub.Encode(request)).embeddings
    return embeddings


def as_matrix(embeddings: Sequence[Embedding]) -> NDArray[np.float32]:
    return np.stack([np.frombuffer(embedding.vector.packed, "<f4") for embedding in embeddings])


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


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
    with gzip.open(test_data / "stsb" / "stsb-en-test.csv.gz", "rt", encoding="utf-8", newline="") as rows:
        pairs = list(csv.reader(rows))
    texts = sorted({sentence for first, second, _ in pairs for sentence in (first, second)})
    vectors = dict(zip(texts, as_matrix(await encode(model_stub, texts)), strict=True))
    cosines = [float(vectors[first] @ vectors[second]) for first, second, _ in pairs]
    spearman = spearmanr(cosines, [float(score) for *_, score in pairs]).statistic
    assert len(pairs) == 1_379
    assert 100 * spearman == pytest.approx(82.03, abs=0.05)


async def test_questions_find_their_paragraphs_as_published(
    model_stub: VectorSearchServiceAsyncStub, test_data: Path, collection: str
) -> None:
    folder = test_data / "xquad" / "en"
    await model_stub.CreateCollection(CreateCollectionRequest(name=collection))
    documents = [
        Record(id=line["_id"], text=f"{line['title']} {line['text']}".strip())
        for line in read_lines(folder / "corpus.jsonl.gz")
    ]
    stored = await model_stub.Upsert(
        UpsertRequest(collection=collection, records=documents, truncation=TRUNCATION_POLICY_TRUNCATE)
    )
    assert stored.stored_count == len(documents) == 240

    queries = [(line["_id"], line["text"]) for line in read_lines(folder / "queries.jsonl.gz")]
    options = SearchOptions(top_k=10, layout=MATCH_LAYOUT_COLUMNS)
    requests = [SearchRequest(collection=collection, query=Query(text=text), options=options) for _, text in queries]
    answers = []
    for start in range(0, len(requests), BATCH):
        answers += await asyncio.gather(*(model_stub.Search(each) for each in requests[start : start + BATCH]))
    found = {
        identifier: list(answer.result.columns.ids) for (identifier, _), answer in zip(queries, answers, strict=True)
    }
    assert 100 * ndcg_at_10(found, read_judgments(folder)) == pytest.approx(94.36, abs=0.1)


def read_judgments(folder: Path) -> dict[str, dict[str, int]]:
    judgments: dict[str, dict[str, int]] = defaultdict(dict)
    (path,) = (folder / "qrels").iterdir()
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        query, document, score = line.split("\t")
        judgments[query][document] = int(score)
    return judgments


def ndcg_at_10(found: dict[str, list[str]], judgments: dict[str, dict[str, int]]) -> float:
    """Gain is the score, discount log2(rank + 1); averaged over the judged queries."""
    ratios = []
    for query, relevant in judgments.items():
        gained = discounted([relevant.get(document, 0) for document in found[query][:10]])
        ratios.append(gained / discounted(sorted(relevant.values(), reverse=True)[:10]))
    return sum(ratios) / len(ratios)


def discounted(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains))
