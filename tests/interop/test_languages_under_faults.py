"""The programs in other languages wait, come back and go on, as the server's details and the service config tell them."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Never, Self

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from languages.program import Program

from vecgate import Client
from vecgate.v1 import service_pb2_grpc
from vecgate.v1.encode_pb2 import ROLE_DOCUMENT, EncodeRequest
from vecgate.v1.server_info_pb2 import GetServerInfoRequest

pytestmark = pytest.mark.interop

RECORDS = 600


class Weary:
    """A service that is not available twice, and refuses for good the third time."""

    name = "vecgate.v1.VectorSearchService"

    def __init__(self) -> None:
        self.calls = 0
        methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "GetServerInfo": grpc.unary_unary_rpc_method_handler(self.refuse)
        }
        self.handler = grpc.method_handlers_generic_handler(self.name, methods)

    def refuse(self, _request: bytes, context: grpc.ServicerContext) -> Never:
        self.calls += 1
        code = grpc.StatusCode.UNAVAILABLE if self.calls < 3 else grpc.StatusCode.PERMISSION_DENIED
        context.abort(code, f"call {self.calls}")


@pytest.fixture
def weary() -> Iterator[tuple[Weary, str]]:
    """A server that says it serves and does not, and its address."""
    service, states = Weary(), health.HealthServicer()
    states.set(service.name, health_pb2.HealthCheckResponse.SERVING)
    server = grpc.server(ThreadPoolExecutor(4), handlers=[service.handler])
    health_pb2_grpc.add_HealthServicer_to_server(states, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield service, f"127.0.0.1:{port}"
    server.stop(None)


def test_reads_are_sent_again_as_the_service_config_says(program: Program, weary: tuple[Weary, str]) -> None:
    service, address = weary
    done = program.run(address, 10)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "error: call 3 (PERMISSION_DENIED)\n")
    assert service.calls == 3


@pytest.fixture
def start_narrow(start_server: Callable[..., Any], free_port: int) -> Callable[[], Any]:
    """Start a server that takes one call at a time and two batches of a stream; each time on the same port and the same data."""
    limits = {"max_concurrent_calls": 1, "stream_window_records": 64}
    return lambda: start_server({"server": {"port": free_port}, "limits": limits})


@contextmanager
def held(address: str) -> Iterator[None]:
    """Keep a call open that takes the server's only place."""
    texts = [
        f"{number} " + "a long text " * 60 for number in range(1_000)
    ]  # half a minute of work, given up with the call
    with grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.VectorSearchServiceStub(channel)
        call = stub.Encode.future(EncodeRequest(texts=texts, role=ROLE_DOCUMENT))
        while not is_full(stub):
            if call.done():  # it came while the question whether there is room had the only place
                call = stub.Encode.future(EncodeRequest(texts=texts, role=ROLE_DOCUMENT))
            time.sleep(0.01)
        yield
        assert not call.done()
        call.cancel()


def is_full(stub: service_pb2_grpc.VectorSearchServiceStub) -> bool:
    try:
        stub.GetServerInfo(GetServerInfoRequest())
    except grpc.RpcError as error:
        return error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    return False


@pytest.mark.model
def test_a_call_without_room_is_sent_again_when_the_server_said(
    program: Program, start_narrow: Callable[[], Any]
) -> None:
    server = start_narrow()
    refusals = "GetServerInfo TOO_MANY_CALLS"
    with held(server.address):
        before = server.log.read_text().count(refusals)
        running = program.start(server.address, 10, 1)

        def wait_for_refusal(number: int) -> None:
            while server.log.read_text().count(refusals) < before + number:
                assert running.poll() is None, running.communicate()
                time.sleep(0.01)

        wait_for_refusal(1)
        begun = time.monotonic()
        wait_for_refusal(2)
        # RetryInfo says a second; up to a fifth is added.
        assert 0.9 < time.monotonic() - begun < 2
    output, errors = running.communicate(timeout=60)
    assert running.returncode == 0, errors
    assert json.loads(output)["bulk"]["counted"] == 1


class Progress:
    """What a running program tells on standard error, as it comes."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self.lines: list[str] = []
        self._running = running
        self._heard = threading.Semaphore(0)
        self._reader = threading.Thread(target=self._read)

    def __enter__(self) -> Self:
        self._running.__enter__()
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.kill()
        self._reader.join()
        self._running.__exit__(None, None, None)

    def _read(self) -> None:
        for line in self._running.stderr or ():
            self.lines.append(line)
            self._heard.release()

    def wait(self) -> None:
        """Wait for a line that comes after this call."""
        while self._heard.acquire(blocking=False):
            pass
        assert self._heard.acquire(timeout=60), self.lines

    def end(self) -> Any:
        """Wait for the program's good end, and return what it printed."""
        assert self._running.stdout
        output = self._running.stdout.read()
        assert self._running.wait(60) == 0, self.lines
        return json.loads(output)


@pytest.mark.model
def test_a_bulk_upsert_goes_on_over_a_server_that_stops_and_one_that_is_killed(
    program: Program, start_narrow: Callable[[], Any], free_port: int
) -> None:
    address = f"127.0.0.1:{free_port}"
    # Begun before there is a server.
    with Progress(program.start(address, 60, RECORDS)) as progress:
        server = start_narrow()
        progress.wait()
        server.stop()
        server = start_narrow()
        progress.wait()
        server.kill()
        server = start_narrow()
        bulk = progress.end()["bulk"]
    assert (bulk["stored"], bulk["failed"], bulk["counted"]) == (RECORDS - 1, 1, RECORDS - 1)
    assert bulk["reconnects"] >= 2
    assert [failure["id"] for failure in bulk["failures"]] == ["note-00017"]
    name = f"example-{program.language}"
    with Client(address) as client:
        texts = {record.id: record.text or "" for record in client.list(name, namespace="bulk")}
    assert len(texts) == RECORDS - 1
    assert all(text.startswith(f"Note {int(key.removeprefix('note-'))}: ") for key, text in texts.items())
