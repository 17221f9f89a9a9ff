"""An index goes onto the wire and comes back as it was, and what this client does not know is said."""

from __future__ import annotations

import pytest

from vecgate import FlatIndex, HnswIndex, InvalidArgumentError, IvfIndex, OutdatedClientError
from vecgate.records import IndexConfig
from vecgate.v1 import collection_pb2
from vecgate.wire.collections import collection_from, create_message
from vecgate.wire.search import options_message


def message_of(index: IndexConfig) -> collection_pb2.IndexConfig:
    return create_message(
        "docs", model=None, dimension=3, metric="cosine", backend=None, index=index, exist_ok=False
    ).index


def described(index: collection_pb2.IndexConfig) -> IndexConfig | None:
    return collection_from(
        collection_pb2.Collection(name="docs", metric=collection_pb2.METRIC_COSINE, index=index)
    ).index


@pytest.mark.parametrize(
    "index",
    [FlatIndex(), HnswIndex(), HnswIndex(8, 40, 90, "scalar8"), IvfIndex(), IvfIndex(lists=300), IvfIndex(300, 20)],
    ids=str,
)
def test_an_index_comes_back_as_it_was(index: IndexConfig) -> None:
    assert described(message_of(index)) == index


def test_an_unknown_quantization_is_refused_before_the_call() -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        message_of(HnswIndex(quantization="scalar4"))  # type: ignore[arg-type]  # the point
    assert refused.value.violations[0].field == "index.hnsw.quantization"


def test_what_a_newer_server_sends_is_not_guessed_at() -> None:
    newer = collection_pb2.IndexConfig(hnsw=collection_pb2.HnswIndex(quantization=9))  # type: ignore[arg-type]  # the point
    with pytest.raises(OutdatedClientError, match="quantization 9"):
        described(newer)


def test_search_parameters_are_sent_where_they_are_given() -> None:
    assert options_message(nprobe=12).parameters.nprobe == 12
    assert not options_message().parameters.HasField("nprobe")
