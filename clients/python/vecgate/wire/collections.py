"""Collections and their indexes ⇄ messages."""

from __future__ import annotations

from vecgate.errors import InvalidArgumentError, OutdatedClientError
from vecgate.records import FlatIndex, HnswIndex, IndexConfig, IvfIndex, Metric
from vecgate.results import Collection, CollectionInfo
from vecgate.v1 import collection_pb2
from vecgate.wire.choices import METRIC_WORDS, METRICS, QUANTIZATION_WORDS, QUANTIZATIONS, choose
from vecgate.wire.outcomes import model_ref_from
from vecgate.wire.values import check_dimension, timestamp_from


def create_message(
    name: str,
    *,
    model: str | None,
    dimension: int | None,
    metric: Metric,
    backend: str | None,
    index: IndexConfig | None,
    exist_ok: bool,
) -> collection_pb2.CreateCollectionRequest:
    """Build the request for a new collection.

    Raises:
        InvalidArgumentError: a dimension out of range, an unknown metric or index.
    """
    check_dimension(dimension, "dimension")
    raw = model is None and dimension is not None
    return collection_pb2.CreateCollectionRequest(
        name=name,
        model=None if model is None else collection_pb2.ModelChoice(name=model, dimensions=dimension),
        unbound=collection_pb2.Unbound(dimension=dimension) if raw else None,
        metric=choose(METRICS, metric, "metric"),
        backend=backend,
        index=None if index is None else _index_message(index),
        if_not_exists=exist_ok,
    )


def update_message(name: str, index: IndexConfig | None) -> collection_pb2.UpdateCollectionRequest:
    """Build the request for another index of a collection; None: the backend chooses.

    Raises:
        InvalidArgumentError: an unknown index.
    """
    message = collection_pb2.IndexConfig() if index is None else _index_message(index)
    return collection_pb2.UpdateCollectionRequest(name=name, index=message)


def collection_from(message: collection_pb2.Collection) -> Collection:
    """Translate a collection's settings.

    Raises:
        OutdatedClientError: it has a metric or an index that this client does not know.
    """
    if message.metric not in METRIC_WORDS:
        raise OutdatedClientError(f"the server sent metric {message.metric}, which this client does not know")
    return Collection(
        name=message.name,
        backend=message.backend,
        metric=METRIC_WORDS[message.metric],
        dimension=message.dimension,
        model=model_ref_from(message.model) if message.HasField("model") else None,
        query_prompt=message.query_prompt,
        index=_index_from(message.index),
        created=timestamp_from(message.create_time),
    )


def collection_info_from(response: collection_pb2.GetCollectionResponse) -> CollectionInfo:
    """Translate a collection and its size."""
    return CollectionInfo(
        collection=collection_from(response.collection),
        record_count=response.record_count,
        namespaces={namespace.name: namespace.record_count for namespace in response.namespaces},
        namespace_count=response.namespace_count,
    )


def _index_message(index: IndexConfig) -> collection_pb2.IndexConfig:
    match index:
        case FlatIndex():
            return collection_pb2.IndexConfig(flat=collection_pb2.FlatIndex())
        case HnswIndex(m, ef_construction, ef, quantization):
            _check_numbers("index.hnsw", m=m, ef_construction=ef_construction, ef=ef)
            kept = choose(QUANTIZATIONS, quantization, "index.hnsw.quantization")
            return collection_pb2.IndexConfig(
                hnsw=collection_pb2.HnswIndex(m=m, ef_construction=ef_construction, ef=ef, quantization=kept)
            )
        case IvfIndex(lists, nprobe):
            _check_numbers("index.ivf", lists=lists, nprobe=nprobe)
            return collection_pb2.IndexConfig(ivf=collection_pb2.IvfIndex(lists=lists, nprobe=nprobe))
        case _:
            raise InvalidArgumentError.at(
                "index", f"expected FlatIndex, HnswIndex or IvfIndex, got {type(index).__name__}"
            )


def _check_numbers(path: str, **numbers: int | None) -> None:
    """Refuse what cannot be sent; what makes sense is the server's to say."""
    for name, number in numbers.items():
        if number is not None and not 0 <= number < 2**32:
            raise InvalidArgumentError.at(f"{path}.{name}", f"{number} is out of range")


def _index_from(message: collection_pb2.IndexConfig) -> IndexConfig | None:
    match message.WhichOneof("kind"):
        case None:
            return None
        case "flat":
            return FlatIndex()
        case "hnsw":
            return _hnsw_from(message.hnsw)
        case "ivf":
            ivf = message.ivf
            return IvfIndex(
                lists=ivf.lists if ivf.HasField("lists") else None,
                nprobe=ivf.nprobe if ivf.HasField("nprobe") else None,
            )
        case kind:
            raise OutdatedClientError(f"the server sent an index of kind {kind!r}, which this client does not know")


def _hnsw_from(hnsw: collection_pb2.HnswIndex) -> HnswIndex:
    if hnsw.quantization not in QUANTIZATION_WORDS:
        raise OutdatedClientError(f"the server sent quantization {hnsw.quantization}, which this client does not know")
    return HnswIndex(
        m=hnsw.m if hnsw.HasField("m") else None,
        ef_construction=hnsw.ef_construction if hnsw.HasField("ef_construction") else None,
        ef=hnsw.ef if hnsw.HasField("ef") else None,
        quantization=QUANTIZATION_WORDS[hnsw.quantization],
    )
