"""A gRPC server that reads each request and answers the same every time: `python -m benchmarks.faiss.empty_server FILE...`.

Each FILE is named after a method and holds the message that it answers. What a Python server costs before it does anything.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from benchmarks.faiss.callers import MESSAGES, OPTIONS


@contextmanager
def empty_server(work: Path, answers: Mapping[str, bytes]) -> Iterator[str]:
    """Run it in a process of its own with these answers by method; yields its address."""
    files = []
    for method, answer in answers.items():
        path = work / method
        path.write_bytes(answer)
        files.append(str(path))
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.faiss.empty_server", *files], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


async def _serve(files: list[Path]) -> None:
    server = grpc.aio.server(options=OPTIONS)
    handlers = {path.name: _handler(path.name, path.read_bytes()) for path in files}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("vecgate.v1.VectorSearchService", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


def _handler(method: str, answer: bytes) -> Any:
    asked, answered = MESSAGES[method]
    message = answered.FromString(answer)

    async def behaviour(request: Any, context: Any) -> Any:  # noqa: ARG001  # gRPC's signature
        return message

    return grpc.unary_unary_rpc_method_handler(
        behaviour,
        request_deserializer=asked.FromString,
        response_serializer=answered.SerializeToString,
    )


if __name__ == "__main__":
    asyncio.run(_serve([Path(argument) for argument in sys.argv[1:]]))
