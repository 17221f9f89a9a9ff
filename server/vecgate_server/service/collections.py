"""CreateCollection, GetCollection, ListCollections, UpdateCollection, DeleteCollection."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from vecgate.v1 import collection_pb2 as wire
from vecgate_backends.contract import Capabilities
from vecgate_backends.errors import (
    CollectionExistsError,
    IndexUnsupportedError,
    InvalidArgumentError,
    UnsupportedError,
)
from vecgate_backends.records import (
    CollectionSpec,
    FlatIndex,
    HnswIndex,
    IndexConfig,
    IvfIndex,
    ModelBinding,
    Timestamp,
)
from vecgate_server.calls.caller import caller
from vecgate_server.config_limits import LimitSettings
from vecgate_server.configured_backend import ConfiguredBackend
from vecgate_server.directory import Directory
from vecgate_server.encoders.base import Models
from vecgate_server.service import page_tokens
from vecgate_server.service.model_rules import named_encoder, of_dimensions
from vecgate_server.translate.enums import METRICS, QUANTIZATIONS
from vecgate_server.translate.outcomes import collection_to_wire
from vecgate_server.validate import argument_rules

KIND_PATHS: Mapping[str, str] = {"hnsw-scalar8": "index.hnsw.quantization"}
"""Index kind → what asks for it, where that is not index.<kind>."""

MAX_LISTS = 65_536

_LISTING = page_tokens.listing_digest("collections")


class CollectionHandlers:
    """Collections: made, described, listed, changed, removed."""

    def __init__(self, directory: Directory, models: Models, limits: LimitSettings) -> None:
        self._directory = directory
        self._models = models
        self._limits = limits

    async def create(self, request: wire.CreateCollectionRequest) -> wire.CreateCollectionResponse:
        """Make a collection, or answer the one that exists with the same settings if that is asked for."""
        backend = self._directory.backend(request.backend)
        spec = await self._spec(request)
        _check_capabilities(spec, backend)
        try:
            await self._directory.create(backend, spec)
        except CollectionExistsError:
            if not request.if_not_exists:
                raise
            existing = await self._directory.collection(spec.name)
            _refuse_other_settings(existing.spec, existing.backend, spec, backend.name)
            return wire.CreateCollectionResponse(collection=collection_to_wire(existing.spec, existing.backend))
        return wire.CreateCollectionResponse(collection=collection_to_wire(spec, backend.name), created=True)

    async def get(self, request: wire.GetCollectionRequest) -> wire.GetCollectionResponse:
        """Describe a collection and count its records."""
        located = await self._directory.collection(argument_rules.collection_name(request.name, "name"))
        size = await located.collection.size()
        bound = caller.get().namespace
        # Whoever may see one namespace alone is told of that one.
        seen = {name: count for name, count in size.namespaces.items() if bound is None or name == bound}
        shown = sorted(seen.items())[: self._limits.max_page_size]
        return wire.GetCollectionResponse(
            collection=collection_to_wire(located.spec, located.backend),
            record_count=size.records if bound is None else sum(seen.values()),
            namespaces=[wire.NamespaceInfo(name=name, record_count=count) for name, count in shown],
            namespace_count=len(seen),
        )

    async def list_page(self, request: wire.ListCollectionsRequest) -> wire.ListCollectionsResponse:
        """Page through the collections of all backends that the caller may use, by name."""
        size = argument_rules.page_size(request.page_size, self._limits.max_page_size)
        after = page_tokens.page_cursor(request.page_token, _LISTING) or ""
        listing = await self._directory.listing()
        own = caller.get().collections
        rest = [each for each in listing.collections if each.spec.name > after and each.spec.name in own]
        page = rest[:size]
        cursor = page[-1].spec.name if len(rest) > size else None
        return wire.ListCollectionsResponse(
            collections=[collection_to_wire(located.spec, located.backend) for located in page],
            next_page_token=page_tokens.page_token(cursor, _LISTING),
            unavailable_backends=listing.unavailable,
        )

    async def update(self, request: wire.UpdateCollectionRequest) -> wire.UpdateCollectionResponse:
        """Change the index of a collection."""
        name = argument_rules.collection_name(request.name, "name")
        if not request.HasField("index"):
            raise InvalidArgumentError.at("index", "is required, since nothing else can be changed")
        index = _index(request.index)
        located = await self._directory.collection(name)
        if not located.capabilities.index_updates:
            raise UnsupportedError(f"index: backend {located.backend!r} cannot change the index of a collection")
        _check_index(index, located.capabilities, located.backend)
        spec = await self._directory.update(located, index)
        return wire.UpdateCollectionResponse(collection=collection_to_wire(spec, located.backend))

    async def delete(self, request: wire.DeleteCollectionRequest) -> wire.DeleteCollectionResponse:
        """Remove a collection and all its records."""
        await self._directory.delete(argument_rules.collection_name(request.name, "name"))
        return wire.DeleteCollectionResponse()

    async def _spec(self, request: wire.CreateCollectionRequest) -> CollectionSpec:
        spec = CollectionSpec(
            name=argument_rules.collection_name(request.name, "name"),
            dimension=0,
            metric=argument_rules.choice(request.metric, METRICS, "metric"),
            index=_index(request.index),
            created=_now(),
        )
        if request.WhichOneof("source") == "unbound":
            most, path = self._limits.max_dimension, "unbound.dimension"
            argument_rules.at_most(request.unbound.dimension, path, "max_dimension", most)
            return replace(spec, dimension=argument_rules.within(request.unbound.dimension, path, 1, most))
        encoder = await named_encoder(self._models, request.model.name or None, "model.name")
        if request.model.HasField("dimensions"):
            encoder = of_dimensions(encoder, request.model.dimensions, "model.dimensions")
        model = encoder.description
        binding = ModelBinding(model.name, model.fingerprint, model.query_prompt)
        return replace(spec, dimension=model.dimension, model=binding)


def _index(message: wire.IndexConfig) -> IndexConfig | None:
    match message.WhichOneof("kind"):
        case "flat":
            return FlatIndex()
        case "hnsw":
            return _hnsw(message.hnsw)
        case "ivf":
            return _ivf(message.ivf)
        case _:
            return None


def _hnsw(message: wire.HnswIndex) -> HnswIndex:
    numbers = {field.name: value for field, value in message.ListFields() if field.name != "quantization"}
    quantization = argument_rules.choice(message.quantization, QUANTIZATIONS, "index.hnsw.quantization")
    index = HnswIndex(**numbers, quantization=quantization)
    argument_rules.within(index.m, "index.hnsw.m", 4, 128)
    argument_rules.within(index.ef_construction, "index.hnsw.ef_construction", 16, 2_000)
    argument_rules.within(index.ef, "index.hnsw.ef", 1, 10_000)
    return index


def _ivf(message: wire.IvfIndex) -> IvfIndex:
    index = IvfIndex(**{field.name: value for field, value in message.ListFields()})
    if index.lists is not None:
        argument_rules.within(index.lists, "index.ivf.lists", 1, MAX_LISTS)
    if index.nprobe is not None:
        argument_rules.within(index.nprobe, "index.ivf.nprobe", 1, index.lists or MAX_LISTS)
    return index


def _check_capabilities(spec: CollectionSpec, backend: ConfiguredBackend) -> None:
    capabilities: Capabilities = backend.capabilities
    if spec.metric not in capabilities.metrics:
        raise UnsupportedError(f"metric: backend {backend.name!r} does not measure by {spec.metric.value}")
    if spec.dimension > capabilities.max_dimension:
        raise InvalidArgumentError.at(
            "unbound.dimension",
            f"is {spec.dimension}; backend {backend.name!r} takes at most {capabilities.max_dimension}",
        )
    _check_index(spec.index, capabilities, backend.name)


def _check_index(index: IndexConfig | None, capabilities: Capabilities, backend: str) -> None:
    if index is not None and index.kind not in capabilities.index_kinds:
        kind = index.kind
        built = ", ".join(sorted(capabilities.index_kinds)) or "its own alone"
        raise IndexUnsupportedError.at(
            KIND_PATHS.get(kind, f"index.{kind}"), f"backend {backend!r} builds no such index; it builds: {built}"
        )


def _refuse_other_settings(existing: CollectionSpec, holder: str, asked: CollectionSpec, backend: str) -> None:
    """Refuse to take an existing collection for the asked one if anything but the time of making differs."""
    settings = {
        "backend": (holder, backend),
        "metric": (existing.metric, asked.metric),
        "dimension": (existing.dimension, asked.dimension),
        "model": (_fingerprint(existing), _fingerprint(asked)),
        "index": (existing.index, asked.index),
    }
    different = [name for name, (has, wants) in settings.items() if has != wants]
    if different:
        raise CollectionExistsError(f"collection {asked.name!r} exists with another {', '.join(different)}")


def _fingerprint(spec: CollectionSpec) -> str | None:
    return spec.model.fingerprint if spec.model else None


def _now() -> Timestamp:
    seconds, nanos = divmod(time.time_ns(), 1_000_000_000)
    return Timestamp(seconds, nanos)
