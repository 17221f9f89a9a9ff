"""How a stream asks a busy encoder: it waits for its turn instead of failing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from vecgate_server.encoders.base import Encoding
from vecgate_server.errors import EncoderBusyError
from vecgate_server.service.text_vectors import Encode

LONGEST_PAUSE_SECONDS = 5.0
UNKNOWN_PAUSE_SECONDS = 1.0


class EncoderTurn:
    """The batches of one stream before one encoder, which takes several at once while it is not full.

    Once it refuses one, that batch asks again until it is through, and those behind it wait: a smaller one would always fit before it.
    """

    def __init__(self) -> None:
        self._waiting = asyncio.Lock()

    async def take(self, encode: Encode, refused: Callable[[], None]) -> Encoding:
        """Ask the encoder, and ask again while it is full; call `refused` each time it is."""
        if not self._waiting.locked():
            try:
                return await encode()
            except EncoderBusyError:
                refused()
        async with self._waiting:
            while True:
                try:
                    return await encode()
                except EncoderBusyError as busy:
                    refused()
                    await asyncio.sleep(min(busy.retry_after or UNKNOWN_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS))
