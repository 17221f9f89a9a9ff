"""API keys: with every call, and nowhere else."""

from __future__ import annotations

import inspect
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from client_methods import CALLS

from vecgate import AsyncClient, Client, InvalidArgumentError, TlsOptions, UnimplementedError
from vecgate.v1 import service_pb2

Start = Callable[..., tuple[Any, str]]


KEY = "secret-key-0123456789"
EVERY_METHOD = {
    f"/vecgate.v1.VectorSearchService/{method.name}"
    for method in service_pb2.DESCRIPTOR.services_by_name["VectorSearchService"].methods
}


def test_every_method_is_in_the_table() -> None:
    methods = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}
    assert methods - {"close"} == CALLS.keys()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_the_key_is_sent_with_every_call(start: Start, authority: trustme.CA, tls: bool) -> None:
    noting, target = start(authority.issue_cert("127.0.0.1") if tls else None)
    with Client(target, tls=TlsOptions(ca=authority.cert_pem.bytes()) if tls else False, api_key=KEY) as client:
        for call in CALLS.values():
            with suppress(UnimplementedError):
                answer = call(client)
                _ = list(answer) if inspect.isgenerator(answer) else answer
    assert {method for method, _ in noting.calls} == {*EVERY_METHOD, "/grpc.health.v1.Health/Check"}
    assert {metadata["authorization"] for _, metadata in noting.calls} == {f"Bearer {KEY}"}


async def test_the_asynchronous_client_sends_the_key_with_every_call(start: Start) -> None:
    noting, target = start()
    async with AsyncClient(target, api_key=KEY) as client:
        for call in CALLS.values():
            with suppress(UnimplementedError):
                answer = call(client)
                _ = [item async for item in answer] if inspect.isasyncgen(answer) else await answer
    assert {method for method, _ in noting.calls} == {*EVERY_METHOD, "/grpc.health.v1.Health/Check"}
    assert {metadata["authorization"] for _, metadata in noting.calls} == {f"Bearer {KEY}"}


@pytest.mark.parametrize(
    "target",
    [
        "localhost:1",
        "127.0.0.1:1",
        "127.8.8.8:1",
        "[::1]:1",
        "dns:///localhost:1",
        "ipv4:127.0.0.1:1,127.0.0.2:1",
        "ipv6:[::1]:1",
        "unix:/run/vecgate.sock",
        "localhost",
    ],
)
def test_a_key_may_go_to_this_machine_in_plain_text(target: str) -> None:
    Client(target, api_key=KEY).close()


@pytest.mark.parametrize(
    "target",
    [
        "example.org:1",
        "10.0.0.1:1",
        "localhost.example.org:1",
        "dns:///vecgate.internal:1",
        "dns://10.0.0.1/localhost:1",
        "ipv4:127.0.0.1:1,10.0.0.1:1",
        "[fe80::1]:1",
        "xds:///localhost",
    ],
)
def test_a_key_goes_nowhere_else_in_plain_text_unless_that_is_said(target: str) -> None:
    with pytest.raises(InvalidArgumentError, match="plain text, where anybody") as refused:
        Client(target, api_key=KEY)
    assert KEY not in str(refused.value)
    Client(target, api_key=KEY, allow_plaintext_api_key=True).close()
    Client(target, api_key=KEY, tls=True).close()


@pytest.mark.parametrize("key", ["", "two words", f"{KEY}\n", "clé", 7])
def test_a_key_that_no_header_carries_is_refused_without_being_told(key: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="api_key: ") as refused:
        Client(api_key=key)
    assert KEY not in str(refused.value)


def test_no_repr_error_or_log_holds_a_secret(
    start: Start,
    authority: trustme.CA,
    with_certificate: Callable[[trustme.CA], TlsOptions],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    _, target = start(authority.issue_cert("127.0.0.1"), asks=True)
    options = with_certificate(authority)
    with Client(target, tls=options, api_key=KEY) as client:
        with pytest.raises(UnimplementedError) as refused:
            client.count("docs")
        told = f"{refused.value!r} {refused.value} {refused.value.__cause__!r} {client!r} {client._connection!r} {options!r}"
    assert KEY not in told
    assert "PRIVATE" not in told
    assert KEY not in caplog.text
    printed = capfd.readouterr()
    assert KEY not in printed.out + printed.err


def run_cli(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:

    command = [sys.executable, "-c", "from vecgate.cli import main; main()", *arguments]
    environment = {**os.environ, **variables}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


def test_the_command_line_takes_options_and_variables(
    start: Start, authority: trustme.CA, with_certificate: Callable[[trustme.CA], TlsOptions], tmp_path: Path
) -> None:
    noting, target = start(authority.issue_cert("127.0.0.1"), asks=True)
    options = with_certificate(authority)
    files = {part: tmp_path / part for part in ("ca", "certificate", "key")}
    for part, path in files.items():
        path.write_bytes(getattr(options, part))
    variables = {f"VECGATE_TLS_{part.upper()}": str(path) for part, path in files.items()} | {"VECGATE_API_KEY": KEY}
    words = [word for part, path in files.items() for word in (f"--tls-{part}", str(path))] + ["--api-key", KEY]
    for done in (
        run_cli("count", "-c", "docs", "-t", target, **variables),
        run_cli("count", "-c", "docs", "-t", target, *words),
        run_cli(*words, "count", "-c", "docs", "-t", target),
    ):
        assert "not here (UNIMPLEMENTED)" in done.stderr
        assert KEY not in done.stderr
    assert [metadata["authorization"] for _, metadata in noting.calls] == [f"Bearer {KEY}"] * 3


def test_the_command_line_says_what_to_do_in_one_line(start: Start, authority: trustme.CA) -> None:
    _, target = start(authority.issue_cert("127.0.0.1"))
    untrusted = run_cli("count", "-c", "docs", "-t", target, "--tls")
    assert (untrusted.returncode, untrusted.stderr.count("\n")) == (1, 1)
    assert untrusted.stderr.endswith("(TLS_UNTRUSTED); --tls-ca gives the CA\n")
    plain = run_cli("count", "-c", "docs", "-t", target)
    assert plain.stderr.endswith("(UNAVAILABLE); --tls does so, or --tls-ca with a CA of your own\n")
    lost = run_cli("count", "-c", "docs", "-t", "example.org:1", VECGATE_API_KEY=KEY)
    assert (lost.returncode, lost.stderr.count("\n")) == (2, 1)
    assert "plain text" in lost.stderr
    assert KEY not in lost.stderr


def test_the_command_line_reads_the_key_from_a_file(start: Start, tmp_path: Path) -> None:
    noting, target = start()
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    run_cli("count", "-c", "docs", "-t", target, "--api-key-file", str(file))
    run_cli("count", "-c", "docs", "-t", target, VECGATE_API_KEY_FILE=str(file))
    assert [metadata["authorization"] for _, metadata in noting.calls] == [f"Bearer {KEY}"] * 2
    both = run_cli("count", "-c", "docs", "-t", target, "--api-key-file", str(file), VECGATE_API_KEY=KEY)
    lost = run_cli("count", "-c", "docs", "-t", target, "--api-key-file", str(tmp_path / "nowhere"))
    assert "are both given" in both.stderr
    assert "nowhere: No such file" in lost.stderr
    for refused in (both, lost):
        assert (refused.returncode, refused.stderr.count("\n"), KEY in refused.stderr) == (2, 1, False)
    assert len(noting.calls) == 2
