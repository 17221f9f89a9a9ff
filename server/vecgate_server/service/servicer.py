"""The gRPC service: each method hands its request to the handlers of its theme."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from vecgate.v1 import (
    collection_pb2,
    encode_pb2,
    ingest_pb2,
    model_pb2,
    read_pb2,
    search_pb2,
    server_info_pb2,
    write_pb2,
)
from vecgate.v1.service_pb2_grpc import VectorSearchServiceServicer
from vecgate_server.service.collections import CollectionHandlers
from vecgate_server.service.encode import EncodeHandlers
from vecgate_server.service.info import InfoHandlers
from vecgate_server.service.read import ReadHandlers
from vecgate_server.service.rerank import RerankHandlers
from vecgate_server.service.search import SearchHandlers
from vecgate_server.service.search_batch import SearchBatchHandlers
from vecgate_server.service.upsert_stream import UpsertStreamHandlers
from vecgate_server.service.write import WriteHandlers

Context = Any
"""gRPC's context; what is around the call deals with it, handlers never do."""


@dataclass(frozen=True, slots=True)
class Handlers:
    """The handlers of each theme."""

    encode: EncodeHandlers
    write: WriteHandlers
    upsert_stream: UpsertStreamHandlers
    search: SearchHandlers
    search_batch: SearchBatchHandlers
    rerank: RerankHandlers
    read: ReadHandlers
    collections: CollectionHandlers
    info: InfoHandlers


class VectorSearchService(VectorSearchServiceServicer):
    """vecgate.v1.VectorSearchService; what each method does is said in service.proto."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    @override
    async def Encode(self, request: encode_pb2.EncodeRequest, context: Context) -> encode_pb2.EncodeResponse:
        return await self._handlers.encode.encode(request)

    @override
    async def Upsert(self, request: write_pb2.UpsertRequest, context: Context) -> write_pb2.UpsertResponse:
        return await self._handlers.write.upsert(request)

    @override
    async def UpdateMetadata(
        self, request: write_pb2.UpdateMetadataRequest, context: Context
    ) -> write_pb2.UpdateMetadataResponse:
        return await self._handlers.write.update_metadata(request)

    @override
    async def Delete(self, request: write_pb2.DeleteRequest, context: Context) -> write_pb2.DeleteResponse:
        return await self._handlers.write.delete(request)

    @override
    async def Search(self, request: search_pb2.SearchRequest, context: Context) -> search_pb2.SearchResponse:
        return await self._handlers.search.search(request)

    @override
    async def SearchBatch(
        self, request: search_pb2.SearchBatchRequest, context: Context
    ) -> search_pb2.SearchBatchResponse:
        return await self._handlers.search_batch.search_batch(request)

    @override
    async def Get(self, request: read_pb2.GetRequest, context: Context) -> read_pb2.GetResponse:
        return await self._handlers.read.get(request)

    @override
    async def Count(self, request: read_pb2.CountRequest, context: Context) -> read_pb2.CountResponse:
        return await self._handlers.read.count(request)

    @override
    async def List(self, request: read_pb2.ListRequest, context: Context) -> read_pb2.ListResponse:
        return await self._handlers.read.list_page(request)

    @override
    async def FieldStats(self, request: read_pb2.FieldStatsRequest, context: Context) -> read_pb2.FieldStatsResponse:
        return await self._handlers.read.field_stats(request)

    @override
    async def CreateCollection(
        self, request: collection_pb2.CreateCollectionRequest, context: Context
    ) -> collection_pb2.CreateCollectionResponse:
        return await self._handlers.collections.create(request)

    @override
    async def GetCollection(
        self, request: collection_pb2.GetCollectionRequest, context: Context
    ) -> collection_pb2.GetCollectionResponse:
        return await self._handlers.collections.get(request)

    @override
    async def ListCollections(
        self, request: collection_pb2.ListCollectionsRequest, context: Context
    ) -> collection_pb2.ListCollectionsResponse:
        return await self._handlers.collections.list_page(request)

    @override
    async def UpdateCollection(
        self, request: collection_pb2.UpdateCollectionRequest, context: Context
    ) -> collection_pb2.UpdateCollectionResponse:
        return await self._handlers.collections.update(request)

    @override
    async def DeleteCollection(
        self, request: collection_pb2.DeleteCollectionRequest, context: Context
    ) -> collection_pb2.DeleteCollectionResponse:
        return await self._handlers.collections.delete(request)

    @override
    async def ListModels(self, request: model_pb2.ListModelsRequest, context: Context) -> model_pb2.ListModelsResponse:
        return self._handlers.encode.list_models()

    @override
    async def GetServerInfo(
        self, request: server_info_pb2.GetServerInfoRequest, context: Context
    ) -> server_info_pb2.GetServerInfoResponse:
        return await self._handlers.info.server_info()

    @override
    async def Rerank(self, request: model_pb2.RerankRequest, context: Context) -> model_pb2.RerankResponse:
        return await self._handlers.rerank.rerank(request)

    @override
    def UpsertStream(
        self, request_iterator: AsyncIterator[ingest_pb2.UpsertStreamRequest], context: Context
    ) -> AsyncIterator[ingest_pb2.UpsertStreamResponse]:
        return self._handlers.upsert_stream.upsert_stream(request_iterator)
