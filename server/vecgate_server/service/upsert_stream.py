"""UpsertStream: how a stream is opened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from vecgate.v1.ingest_pb2 import UpsertStreamRequest, UpsertStreamResponse
from vecgate_backends.errors import InvalidArgumentError
from vecgate_server.config_limits import LimitSettings
from vecgate_server.directory import Directory
from vecgate_server.draining import Draining
from vecgate_server.encoders.base import Models
from vecgate_server.service.batch_pipeline import BatchPipeline
from vecgate_server.service.stream_dialogue import StreamDialogue
from vecgate_server.service.stream_window import StreamWindows
from vecgate_server.service.upsert_batch import UpsertTarget, upsert_target


class UpsertStreamHandlers:
    """Opens streams; what they have under way together is bounded."""

    def __init__(self, directory: Directory, models: Models, limits: LimitSettings, draining: Draining) -> None:
        self._directory = directory
        self._models = models
        self._limits = limits
        self._draining = draining
        self._windows = StreamWindows(limits.stream_window_records, limits.stream_window_bytes)

    async def upsert_stream(
        self, requests: AsyncIterator[UpsertStreamRequest]
    ) -> AsyncGenerator[UpsertStreamResponse, None]:
        """Answer one stream; closing the generator drops what is not written yet.

        Raises:
            InvalidArgumentError: the client broke the order of messages, or its first one is wrong.
            ShuttingDownError: the server stops; what has no result was not applied, or is not known to be.
            VecgateError: a batch could not be encoded or written; see BatchPipeline.
        """
        target = await self._open(requests)
        news = asyncio.Event()
        with self._windows.open(news.set) as window:
            pipeline = BatchPipeline(target, self._models, self._limits, window, news)
            async with StreamDialogue(requests, pipeline, window, self._draining, news) as stream:
                while (response := await stream.next_response()) is not None:
                    yield response

    async def _open(self, requests: AsyncIterator[UpsertStreamRequest]) -> UpsertTarget:
        request = await self._draining.guard(anext(requests, None))
        said = request and request.WhichOneof("message")
        if request is None or said != "open":
            raise InvalidArgumentError.at(said or "message", "the first message of a stream is open")
        return await upsert_target(request.open, self._directory, "open.")
