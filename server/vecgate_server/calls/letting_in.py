"""How calls are let in: several at a time.

grpc.aio asks its core for one call, and for the next after two rounds of the event loop at the soonest. A round takes milliseconds under
load, and the loop then waits for calls while calls wait for it: at twice what a server can answer it answered a fifth less. There is no public way
to ask for more, so what grpc.aio does with a call is done here with its own parts, beside it. They are the same from 1.75.1 up to
1.83; without them calls come one at a time as ever.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import grpc
import grpc.aio
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # the stubs leave it out

MORE = 15
"""Calls that are asked for at once, beside the one that grpc.aio asks for. More had no effect."""
PARTS = ("_RequestCallError", "_handle_rpc", "_schedule_rpc_coro")

log = logging.getLogger(__name__)


def let_more_in(server: grpc.aio.Server, handlers: list[grpc.GenericRpcHandler]) -> set[asyncio.Task[None]]:
    """Let in several calls at a time.

    Args:
        server: started.
        handlers: all that it was made with.

    Returns:
        What lets them in, to be kept until the server has stopped, which ends it.
    """
    inside: Any = getattr(server, "_server", None)
    if not (hasattr(inside, "_request_call") and all(hasattr(cygrpc, part) for part in PARTS)):
        log.warning("this version of gRPC lets in one call at a time: fewer are answered under load")
        return set()
    return {asyncio.create_task(_let_in(inside, handlers)) for _ in range(MORE)}


async def _let_in(inside: Any, handlers: list[grpc.GenericRpcHandler]) -> None:
    loop = asyncio.get_running_loop()
    under_way: set[asyncio.Task[None]] = set()
    while True:
        try:
            call = await inside._request_call()  # noqa: SLF001  # there is no public way
        except cygrpc._RequestCallError:  # noqa: SLF001  # the server stops
            return
        answer = cygrpc._handle_rpc(handlers, (), call, loop, False)  # noqa: SLF001
        task = loop.create_task(cygrpc._schedule_rpc_coro(answer, call, loop))  # noqa: SLF001
        under_way.add(task)
        task.add_done_callback(under_way.discard)
