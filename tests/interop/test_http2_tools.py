"""Requests of curl and h2load, right and wrong: other stacks than ours, made by other people."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from hostile.http2_connection import SERVICE, grpc_message
from hostile.process_watch import held, settled

from vecgate.v1.collection_pb2 import CreateCollectionRequest, Unbound
from vecgate.v1.record_pb2 import Record
from vecgate.v1.search_pb2 import Query, SearchRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate.v1.vector_pb2 import Vector
from vecgate.v1.write_pb2 import UpsertRequest

COLLECTION = "http2-tools"
SEARCH = SearchRequest(collection=COLLECTION, query=Query(vector=Vector(packed=np.ones(2, "<f4").tobytes())))
GRPC = ("content-type: application/grpc", "te: trailers")
REQUESTS = 5_000


@pytest.fixture
def stub(memory_server: Any) -> Any:
    with grpc.insecure_channel(memory_server.address) as channel:
        stub = VectorSearchServiceStub(channel)
        made = CreateCollectionRequest(name=COLLECTION, unbound=Unbound(dimension=2), if_not_exists=True)
        stub.CreateCollection(made)
        stub.Upsert(UpsertRequest(collection=COLLECTION, records=[Record(id="a", vector=SEARCH.query.vector)]))
        yield stub


def tool(name: str) -> str:
    found = shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed: make test-interop")
    return found


@pytest.fixture
def curl(memory_server: Any, tmp_path: Path, stub: Any) -> Callable[..., dict[str, str]]:
    """Send a body with curl, and return the headers and trailers of the answer."""

    def send(body: bytes, *arguments: str, headers: tuple[str, ...] = GRPC, method: str = "Search") -> dict[str, str]:
        request, answered = tmp_path / "request", tmp_path / "answered"
        request.write_bytes(body)
        told = [argument for header in headers for argument in ("-H", header)]
        version = arguments or ("--http2-prior-knowledge",)
        url = f"http://{memory_server.address}{SERVICE}{method}"
        command = [tool("curl"), "-s", "-m", "10", *version, *told, "--data-binary", f"@{request}", "-o", "/dev/null"]
        subprocess.run([*command, "-D", str(answered), url], check=False, timeout=30)
        lines = answered.read_text(errors="replace").splitlines() if answered.exists() else []
        return dict(line.split(": ", 1) for line in lines if ": " in line)

    return send


@pytest.mark.interop
@pytest.mark.parametrize(
    ("body", "statuses"),
    [
        pytest.param(grpc_message(SEARCH.SerializeToString()), {"0"}, id="a right message"),
        pytest.param(grpc_message(SEARCH.SerializeToString())[:-1], {"3", "13", None}, id="cut short"),
        pytest.param(grpc_message(SEARCH.SerializeToString(), length=2**31), {"8", None}, id="far too large"),
        # Some versions of gRPC take it as it stands.
        pytest.param(grpc_message(SEARCH.SerializeToString(), compressed=1), {"0", "13"}, id="compressed, it says"),
        pytest.param(grpc_message(b"\xff" * 50), {"3"}, id="no protobuf"),
    ],
)
def test_curl_is_told_the_status(
    curl: Callable[..., dict[str, str]], stub: Any, body: bytes, statuses: set[str | None]
) -> None:
    assert curl(body).get("grpc-status") in statuses
    assert len(stub.Search(SEARCH, timeout=5).result.matches) == 1


@pytest.mark.interop
@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        pytest.param(("--http1.1",), GRPC, id="HTTP/1"),
        pytest.param(("--http2",), GRPC, id="an upgrade from HTTP/1"),
        pytest.param((), ("content-type: application/json",), id="JSON"),
    ],
)
def test_curl_is_not_answered_well_where_it_speaks_no_grpc(
    curl: Callable[..., dict[str, str]], stub: Any, arguments: tuple[str, ...], headers: tuple[str, ...]
) -> None:
    answered = curl(grpc_message(SEARCH.SerializeToString()), *arguments, headers=headers)
    assert answered.get("grpc-status") != "0"
    assert len(stub.Search(SEARCH, timeout=5).result.matches) == 1


def h2load(address: str, body: bytes, folder: Path, *arguments: str) -> dict[str, int]:
    """Send a body many times; return h2load's count of how requests ended."""
    request = folder / "request"
    request.write_bytes(body)
    told = [argument for header in GRPC for argument in ("-H", header)]
    done = subprocess.run(
        [
            tool("h2load"),
            "-n",
            str(REQUESTS),
            *arguments,
            "-d",
            str(request),
            *told,
            f"http://{address}{SERVICE}Search",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    (counts,) = re.findall(r"^requests: (.*)$", done.stdout, re.MULTILINE)
    return {name: int(count) for count, name in re.findall(r"(\d+) (\w+)", counts)}


@pytest.mark.interop
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(grpc_message(SEARCH.SerializeToString()), id="right"),
        pytest.param(grpc_message(SEARCH.SerializeToString(), compressed=1), id="compressed, it says"),
        pytest.param(grpc_message(b"\xff" * 500), id="no protobuf"),
        pytest.param(b"\xff" * 500, id="no message"),
    ],
)
def test_h2load_floods_a_server_that_goes_on_answering(
    memory_server: Any, stub: Any, tmp_path: Path, body: bytes
) -> None:
    base = held(memory_server.process.pid)
    counts = h2load(memory_server.address, body, tmp_path, "-c", "10", "-m", "50")
    assert counts["done"] + counts["errored"] + counts["timeout"] == REQUESTS
    assert len(stub.Search(SEARCH, timeout=5).result.matches) == 1
    rest = settled(
        memory_server.process.pid,
        lambda now: now.descriptors <= base.descriptors,
    )
    assert rest.descriptors <= base.descriptors
    assert rest.mebibytes <= 1.3 * base.mebibytes
