"""Worker processes of a running server that are killed, and what the server process itself does not load."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest

from vecgate.v1.encode_pb2 import ROLE_DOCUMENT, ROLE_QUERY, EncodeRequest
from vecgate.v1.model_pb2 import MODEL_STATE_READY, ListModelsRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub

pytestmark = [pytest.mark.model]

KILLS = 3
CALLERS = 6
MEMORY: dict[str, Any] = {"backends": {"memory": {"kind": "memory"}}}


def workers(server: Any) -> list[int]:
    """The children of the server that run a model; processes and threads may end while they are looked at."""
    found: list[int] = []
    for task in Path(f"/proc/{server.process.pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            children = (task / "children").read_text().split()
            found += [int(each) for each in children if b"worker_process" in Path(f"/proc/{each}/cmdline").read_bytes()]
    return found


def texts_of(caller: int, turn: int) -> list[str]:
    return [f"caller {caller} asks for package {turn} " + "and more words " * row for row in range(caller + 1)]


async def encode(stub: Any, texts: list[str], role: Any) -> Any:
    answer = await stub.Encode(EncodeRequest(texts=texts, role=role), timeout=60)
    return np.array([np.frombuffer(each.vector.packed, "<f4") for each in answer.embeddings])


async def until(condition: Callable[[], Any]) -> None:
    """Wait for what another process does; the test's own timeout ends a wait in vain."""
    while not condition():  # noqa: ASYNC110  # it has no event
        await asyncio.sleep(0.01)


async def kill_workers(server: Any, answers: Sequence[object]) -> None:
    """Kill a worker at work, again and again, and one replacement while it loads."""
    for kill in range(KILLS):
        enough = len(answers) + 2 * CALLERS
        await until(partial(_longer_than, answers, enough))
        (worker,) = workers(server)
        os.kill(worker, signal.SIGKILL)
        if kill == 1:
            while not (replacements := {*workers(server)} - {worker}):  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.01)
            os.kill(replacements.pop(), signal.SIGKILL)


def _longer_than(answers: Sequence[object], count: int) -> bool:
    return len(answers) > count


async def test_calls_under_which_workers_are_killed_are_answered_rightly_or_unavailable(
    start_server: Any, graph_directory: Path
) -> None:
    encoder = {"graph_directory": str(graph_directory), "cache_mib": 0}
    server = start_server(MEMORY | {"encoder": encoder})
    answers: list[tuple[list[str], Any]] = []
    codes: list[grpc.StatusCode] = []

    async def call(stub: Any, caller: int, stop: asyncio.Event) -> None:
        turn = 0
        while not stop.is_set():
            texts = texts_of(caller, turn)
            turn += 1
            try:
                answers.append((texts, await encode(stub, texts, (ROLE_QUERY, ROLE_DOCUMENT)[caller % 2])))
            except grpc.aio.AioRpcError as error:
                codes.append(error.code())
                await asyncio.sleep(0.01)

    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = VectorSearchServiceStub(channel)
        stop = asyncio.Event()
        calls = asyncio.gather(*(call(stub, caller, stop) for caller in range(CALLERS)))
        await kill_workers(server, answers)
        stop.set()
        await calls
        assert set(codes) <= {grpc.StatusCode.UNAVAILABLE}
        while (await stub.ListModels(ListModelsRequest())).models[0].state != MODEL_STATE_READY:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.05)
        # The two roles of this model have one reading, so that any batch tells what is right.
        sample = answers[:: max(1, len(answers) // 50)]
        for texts, vectors in sample:
            np.testing.assert_allclose(vectors, await encode(stub, texts, ROLE_DOCUMENT), atol=1e-5)
        assert len(workers(server)) == 1
    assert "was ended by SIGKILL; it is replaced" in server.log.read_text()
    assert server.stop() == 0


async def test_workers_end_with_a_server_that_is_killed(start_server: Any) -> None:
    server = start_server(MEMORY)
    (worker,) = workers(server)
    server.kill()
    await until(lambda: not Path(f"/proc/{worker}").exists())


async def test_a_ctrl_c_reaches_the_workers_and_calls_in_flight_are_answered(start_server: Any) -> None:
    server = start_server(MEMORY)
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = VectorSearchServiceStub(channel)
        calls = [
            asyncio.ensure_future(
                encode(stub, [f"text {number} of call {call} " * 20 for number in range(40)], ROLE_DOCUMENT)
            )
            for call in range(4)
        ]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        for process in (*workers(server), server.process.pid):
            os.kill(process, signal.SIGINT)
        assert [len(vectors) for vectors in await asyncio.gather(*calls)] == [40] * 4
    assert server.wait() == 0


async def test_the_server_process_loads_no_runtime_of_models(start_server: Any) -> None:
    server = start_server(MEMORY)
    async with grpc.aio.insecure_channel(server.address) as channel:
        assert len(await encode(VectorSearchServiceStub(channel), ["a text"], ROLE_QUERY)) == 1
    (worker,) = workers(server)
    runtimes = ("onnxruntime", "torch", "safetensors")
    maps = [Path(f"/proc/{pid}/maps") for pid in (server.process.pid, worker)]
    mapped = [await asyncio.to_thread(each.read_text) for each in maps]
    loaded = [[runtime for runtime in runtimes if f"/{runtime}/" in text] for text in mapped]
    assert loaded == [[], ["onnxruntime"]]
