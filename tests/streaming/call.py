"""One UpsertStream call, made by hand with the generated stub: what is sent when, and what comes back, is the test's to say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from vecgate.v1.ingest_pb2 import (
    UpsertStreamBatch,
    UpsertStreamClose,
    UpsertStreamOpen,
    UpsertStreamRequest,
    UpsertStreamResponse,
    UpsertStreamResult,
    UpsertStreamWindow,
)
from vecgate.v1.record_pb2 import Record
from vecgate.v1.vector_pb2 import Vector


def vector_record(identifier: str, *components: float) -> Record:
    """Build a record of a vector alone."""
    return Record(id=identifier, vector=Vector(packed=np.array(components, "<f4").tobytes()))


class StreamCall:
    """A stream under way.

    Attributes:
        responses: all that was read, in order.
        sent: how many batches were.
    """

    def __init__(self, stub: Any, **options: Any) -> None:
        self.call = stub.UpsertStream(**options)
        self.responses: list[UpsertStreamResponse] = []
        self.sent = 0

    async def open(self, collection: str, **fields: Any) -> UpsertStreamWindow:
        """Send `open`, and return the first window."""
        await self.send(open=UpsertStreamOpen(collection=collection, **fields))
        first = await self.read()
        assert first is not None
        assert first.WhichOneof("message") == "window"
        return first.window

    async def send(self, **message: Any) -> None:
        """Send one message."""
        await self.call.write(UpsertStreamRequest(**message))

    async def put(self, records: Iterable[Record], sequence: int | None = None) -> None:
        """Send a batch; its number is the next one unless another is given."""
        self.sent += 1
        await self.send(batch=UpsertStreamBatch(sequence=sequence or self.sent, records=records))

    async def close(self) -> None:
        """Send `close`; the sending side stays open."""
        await self.send(close=UpsertStreamClose())

    async def read(self) -> UpsertStreamResponse | None:
        """Read what comes next; None at an end with OK."""
        response = await self.call.read()
        if not isinstance(response, UpsertStreamResponse):  # grpc.aio.EOF
            return None
        self.responses.append(response)
        return response

    async def result(self) -> UpsertStreamResult:
        """Read up to the next result."""
        while (response := await self.read()) is not None:
            if response.HasField("result"):
                return response.result
        raise AssertionError("the stream ended without another result")

    async def rest(self) -> list[UpsertStreamResult]:
        """Read to the end, which must be OK, and return the results that still came."""
        before = len(self.responses)
        while await self.read() is not None:
            pass
        return [response.result for response in self.responses[before:] if response.HasField("result")]

    @property
    def told(self) -> list[str]:
        """Which messages came, in order."""
        return [str(response.WhichOneof("message")) for response in self.responses]

    @property
    def received(self) -> int:
        """The highest sequence that a receipt told of."""
        return max(
            (response.receipt.sequence for response in self.responses if response.HasField("receipt")), default=0
        )

    @property
    def windows(self) -> list[int]:
        """The sizes that the stream was told, in records."""
        return [response.window.records for response in self.responses if response.HasField("window")]
