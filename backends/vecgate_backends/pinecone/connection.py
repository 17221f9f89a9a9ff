"""Requests to Pinecone: attempts with a timeout each, retries with jitter within a deadline, errors of ours.

The SDK would try four times whatever the deadline says, so its own retries are switched off.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeVar

import httpx
from pinecone import AsyncIndex, AsyncPinecone, RetryConfig
from pinecone.errors import PineconeError

from vecgate_backends.pinecone.options import PineconeOptions
from vecgate_backends.pinecone.vendor_errors import not_executed, retryable, vecgate_error

logger = logging.getLogger(__name__)

T = TypeVar("T")
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
NO_RETRIES = RetryConfig(max_retries=0)


@dataclass(frozen=True, slots=True)
class Caller:
    """Makes requests within bounds of time.

    Attributes:
        deadline: seconds a request may take with all its attempts. attempt: seconds one of them may take.
    """

    deadline: float
    attempt: float

    async def call(self, request: Callable[[], Awaitable[T]], *, idempotent: bool = True) -> T:
        """Send a request, again while that may help: with growing, random pauses, and not before a Retry-After.

        Raises:
            VecgateError: by the table of vendor_errors; of the last attempt.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self.deadline
        longest = FIRST_PAUSE_SECONDS
        before: Exception | None = None
        while True:
            try:
                async with asyncio.timeout_at(min(end, loop.time() + self.attempt)):
                    return await request()
            except (PineconeError, TimeoutError, RuntimeError) as caught:
                # An attempt that only the deadline cut short tells less than the one before it.
                fault = before if before is not None and loop.time() >= end else caught
                again = retryable(fault) if idempotent else not_executed(fault)
                least = getattr(fault, "retry_after", None) or 0.0
                pause = least + random.uniform(0.0, longest)  # noqa: S311  # it spreads load, it keeps no secret
                if not again or loop.time() + pause >= end:
                    raise vecgate_error(fault) from fault
                before = fault
                logger.debug("Pinecone: %s; trying again in %.2f s", vecgate_error(fault).message, pause)
            await asyncio.sleep(pause)
            longest = min(longest * 2.0, LONGEST_PAUSE_SECONDS)


@cache
def certificates() -> ssl.SSLContext:
    """Return whom to trust, read once: the SDK would read it for each index, and hold up the event loop for 20 ms each time."""
    return httpx.create_ssl_context()


def open_controller(options: PineconeOptions, api_key: str) -> AsyncPinecone:
    """Return a client of the control plane; it belongs to the running event loop."""
    return AsyncPinecone(
        api_key=api_key,
        host=options.controller_url,
        timeout=options.attempt_seconds,
        connection_pool_maxsize=4,
        retry_config=NO_RETRIES,
        ssl_verify=certificates(),  # type: ignore[arg-type]  # called a bool there, and handed to httpx, which takes either
        source_tag="vecgate",
    )


def open_index(options: PineconeOptions, api_key: str, host: str) -> AsyncIndex:
    """Return a client of one index; it belongs to the running event loop and is closed on its own."""
    index = AsyncIndex(
        host=host,
        api_key=api_key,
        timeout=options.attempt_seconds,
        connection_pool_maxsize=options.max_connections,
        ssl_verify=certificates(),  # type: ignore[arg-type]  # as above
        source_tag="vecgate",
    )
    # No public parameter reaches the retries of the data plane; an SDK without these attributes fails here, at once.
    http = index._http  # noqa: SLF001
    http._config = replace(http._config, retry_config=NO_RETRIES)  # noqa: SLF001
    return index
