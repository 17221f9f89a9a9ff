"""How a stream asks an encoder that is busy, or whose tokens its caller has used up: it asks again instead of failing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from vecgate_server.encoders.base import Encoding
from vecgate_server.errors import EncoderBusyError, KeyTokensExceededError
from vecgate_server.service.text_vectors import Encode

LONGEST_PAUSE_SECONDS = 5.0
UNKNOWN_PAUSE_SECONDS = 1.0


async def patiently(encode: Encode, refused: Callable[[], None]) -> Encoding:
    """Ask the encoder until it takes the texts; call `refused` each time it does not.

    A batch that waits here may be overtaken by smaller ones of its stream, but only until the window is full of them: their results wait
    for its own.
    """
    while True:
        try:
            return await encode()
        except (EncoderBusyError, KeyTokensExceededError) as busy:
            refused()
            await asyncio.sleep(min(busy.retry_after or UNKNOWN_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS))
