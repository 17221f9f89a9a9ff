"""A cross-encoder loaded from a directory by a real server: its scores are those of sentence-transformers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc.aio
import numpy as np
import pytest

from vecgate.v1.collection_pb2 import CreateCollectionRequest, Unbound
from vecgate.v1.encode_pb2 import ROLE_QUERY, EncodeRequest
from vecgate.v1.model_pb2 import MODEL_KIND_CROSS_ENCODER, ListModelsRequest, RerankRequest
from vecgate.v1.outcome_pb2 import TRUNCATION_POLICY_ERROR
from vecgate.v1.record_pb2 import Record
from vecgate.v1.search_pb2 import Query, Rerank, SearchOptions, SearchRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate.v1.vector_pb2 import Vector
from vecgate.v1.write_pb2 import UpsertRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub

WORDS = ["the", "cat", "sat", "on", "mat", "a", "feline", "rested", "rug", "rates", "rose", "where", "is", "it"]
MAX_TOKENS = 24
QUERY = "where is the cat"
TEXTS = ["the cat sat on the mat", "a feline rested on a rug", "", "rates rose", "the cat " * 40, "is it on the rug"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT cross-encoder of random weights, as sentence-transformers saves one."""
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    plain, saved = tmp_path_factory.mktemp("bert"), tmp_path_factory.mktemp("cross_encoder") / "model"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    tokenizer = BertTokenizer(vocab={token: row for row, token in enumerate(tokens)}, do_lower_case=True)
    tokenizer.save_pretrained(plain)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        # Of the usual 0.02 all texts would have nearly the same score.
        initializer_range=1.0,
    )
    config.num_labels = 1
    BertForSequenceClassification(config).save_pretrained(plain)
    CrossEncoder(str(plain), max_length=MAX_TOKENS, device="cpu").save_pretrained(str(saved))
    return saved


@pytest.fixture(scope="module")
def expected(directory: Path) -> dict[str, float]:
    """The score that sentence-transformers gives each text."""
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(directory), device="cpu")
    scores = model.predict([(QUERY, text) for text in TEXTS])
    return dict(zip(TEXTS, scores.tolist(), strict=True))


@pytest.fixture
async def reranking_stub(start_server: Any, directory: Path) -> AsyncIterator[VectorSearchServiceAsyncStub]:
    server = start_server(
        {
            "backends": {"memory": {"kind": "memory"}},
            "models": {
                "available": [{"name": "all-MiniLM-L6-v2"}, {"name": "tiny", "path": str(directory)}],
                "preload": [],
            },
        }
    )
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield VectorSearchServiceStub(channel)


async def test_scores_are_those_of_sentence_transformers(
    reranking_stub: VectorSearchServiceAsyncStub, expected: dict[str, float], refusal: Any
) -> None:
    request = RerankRequest(model="tiny", query=QUERY, texts=TEXTS)
    answer = await reranking_stub.Rerank(request)
    np.testing.assert_allclose(answer.scores, [expected[text] for text in TEXTS], rtol=1e-4, atol=1e-6)
    assert np.ptp(answer.scores) > 0.01
    assert [pair.truncated for pair in answer.encoded] == [text == TEXTS[4] for text in TEXTS]
    assert (answer.encoded[0].tokens, answer.encoded[4].tokens) == (4 + 6 + 3, MAX_TOKENS)
    assert answer.timings.rerank_ns > 0
    (tiny,) = [each for each in (await reranking_stub.ListModels(ListModelsRequest())).models if each.name == "tiny"]
    assert (tiny.kind, tiny.max_tokens, tiny.dimension) == (MODEL_KIND_CROSS_ENCODER, MAX_TOKENS, 0)
    assert answer.model.fingerprint == tiny.fingerprint
    request.truncation = TRUNCATION_POLICY_ERROR
    refused = await refusal(reranking_stub.Rerank(request))
    assert (refused.reason, refused.fields) == ("TEXT_TOO_LONG", ["texts[4]"])
    refused = await refusal(reranking_stub.Encode(EncodeRequest(model="tiny", texts=["a"], role=ROLE_QUERY)))
    assert (refused.reason, refused.fields) == ("MODEL_KIND", ["model"])


async def test_a_search_is_ordered_by_the_cross_encoder(
    reranking_stub: VectorSearchServiceAsyncStub, expected: dict[str, float]
) -> None:
    await reranking_stub.CreateCollection(CreateCollectionRequest(name="texts", unbound=Unbound(dimension=2)))
    records = [
        Record(id=f"{row}", text=text, vector=Vector(packed=np.array([1, row], "<f4").tobytes()))
        for row, text in enumerate(TEXTS)
    ]
    await reranking_stub.Upsert(UpsertRequest(collection="texts", records=records))
    options = SearchOptions(top_k=3, rerank=Rerank(model="tiny", query=QUERY))
    query = Query(vector=Vector(packed=np.array([1, 0], "<f4").tobytes()))
    result = (await reranking_stub.Search(SearchRequest(collection="texts", query=query, options=options))).result
    best = sorted(TEXTS, key=lambda text: -expected[text])[:3]
    assert [match.text for match in result.matches] == best
    assert [match.rerank_score for match in result.matches] == pytest.approx(
        [expected[text] for text in best], rel=1e-4
    )
    assert (result.reranking.scored_count, result.reranking.truncated_count) == (len(TEXTS), 1)
