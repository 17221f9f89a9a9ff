"""The command vecgate-server: what it prints, and how it exits."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import yaml
from click.testing import CliRunner, Result

from vecgate.v1.encode_pb2 import ROLE_DOCUMENT, EncodeRequest
from vecgate.v1.server_info_pb2 import GetServerInfoRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate_server.command import main

MEMORY = {"server": {"port": 0}, "backends": {"memory": {"kind": "memory"}}, "models": {"preload": []}}
FAISS = MEMORY | {"backends": {"faiss": {"kind": "faiss"}}}


def run(*arguments: str, **variables: str) -> Result:
    """Run the command inside this process: for what ends before it serves."""
    return CliRunner().invoke(main, arguments, env=variables)


def run_with(settings: str, folder: Path, *command: str, **variables: str) -> Result:
    path = folder / "settings.yaml"
    path.write_text(settings)
    return run(*command, "--config", str(path), **variables)


def run_process(settings: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command as a process of its own that must end by itself."""
    path = folder / "settings.yaml"
    path.write_text(json.dumps(settings))
    return subprocess.run(
        [sys.executable, "-m", "vecgate_server", "--config", str(path)],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=60,
        check=False,
    )


WRONG = {
    "a misspelt section": ("servr: {}", "unknown key 'servr'; did you mean 'server'?"),
    "a misspelt key": ("limits: {max_topk: 5}", "limits.max_topk: unknown key 'max_topk'; did you mean 'max_top_k'?"),
    "a value of another type": ("server: {port: high}", "server.port: input should be a valid integer"),
    "a value out of range": ("limits: {max_batch: 0}", "limits.max_batch: input should be greater than or equal to 1"),
    "a word that is none of the choices": (
        "telemetry: {log_format: jsn}",
        "telemetry.log_format: input should be 'text' or 'json', not 'jsn'; did you mean 'json'?",
    ),
    "a misspelt kind": (
        "backends: {main: {kind: fais}}",
        "backends.main.kind: unknown kind 'fais'; did you mean 'faiss'?",
    ),
    "a misspelt option": (
        "backends: {main: {kind: faiss, options: {pth: x}}}",
        "backends.main.options.pth: unknown key 'pth'; did you mean 'path'?",
    ),
    "an option of another type": (
        "backends: {main: {kind: faiss, options: {seal_threshold: many}}}",
        "backends.main.options.seal_threshold: ",
    ),
    "an option out of its range": (
        "backends: {main: {kind: faiss, options: {quiet_seconds: -1}}}",
        "backends.main.options: quiet_seconds: must be at least 0",
    ),
    "a default backend that is none": ("default_backend: fais", "did you mean 'faiss'?"),
    "a default model that is none": ("models: {default: all-MiniLM}", "did you mean 'all-MiniLM-L6-v2'?"),
    "an open listener": ("server: {host: 0.0.0.0}", "allow_insecure: true"),
    "a key that stands twice": ("server: {port: 1, port: 2}", "line 1: key 'port' stands twice"),
    "no YAML": ("server: [", "line 1"),
    "a list": ("- server", "keys and values"),
}


@pytest.mark.parametrize(("text", "fault"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting_is_told_in_one_line_with_its_path(text: str, fault: str, tmp_path: Path) -> None:
    result = run_with(text, tmp_path, "check-config")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert fault in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_wrong_setting_keeps_the_server_from_starting(tmp_path: Path) -> None:
    result = run_with("limits: {max_topk: 5}", tmp_path)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.yaml"
    result = run("--config", str(path))
    assert (result.exit_code, result.stderr) == (2, f"vecgate-server: {path}: No such file or directory\n")


def test_a_missing_file_is_told_by_check_config_in_the_same_words(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.yaml"
    assert run("check-config", "--config", str(path)).stderr == run("--config", str(path)).stderr


def test_ctrl_c_while_the_program_is_loaded_is_one_line() -> None:
    probe = (
        "import sys, vecgate_server.__main__ as start\n"
        "class Interrupting:\n"
        "    def find_spec(self, *arguments):\n"
        "        raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "start.main()"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "vecgate-server: interrupted\n")


def test_a_server_without_its_extra_says_what_to_install() -> None:
    blocked = "import sys; sys.modules['grpc_channelz'] = None\nfrom vecgate_server.__main__ import main\nmain()"
    done = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "pip install 'vecgate[all]'" in done.stderr


def test_the_effective_settings_are_printed_and_can_be_read_back(tmp_path: Path) -> None:
    result = run_with(json.dumps(MEMORY), tmp_path, "check-config", VECGATE_LIMITS__MAX_TOP_K="7")
    assert result.exit_code == 0
    printed = yaml.safe_load(result.stdout)
    assert printed["limits"]["max_top_k"] == 7
    assert printed["default_backend"] == "memory"
    assert run_with(result.stdout, tmp_path, "check-config").stdout == result.stdout


def test_the_defaults_name_faiss_and_the_model_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = yaml.safe_load(run("check-config").stdout)
    assert printed["backends"]["faiss"]["options"]["path"] == "vecgate-data"
    assert printed["models"]["preload"] == ["all-MiniLM-L6-v2"]
    assert not list(tmp_path.iterdir())


def test_the_version_is_printed() -> None:
    assert run("--version").stdout.startswith("vecgate-server, version ")


def test_a_port_in_use_is_told_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run_process(MEMORY | {"server": {"port": port}}, tmp_path)
    assert result.returncode == 1
    assert result.stderr == (
        f"vecgate-server: cannot listen on 127.0.0.1:{port}: Address already in use; "
        "server.host and server.port tell where\n"
    )


def test_a_store_in_use_is_told_in_one_sentence(start_server: Any, tmp_path: Path) -> None:
    start_server(FAISS)
    result = run_process(FAISS, tmp_path)
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
    assert result.stderr.startswith("vecgate-server: backend 'faiss': another process has the store")


def test_a_corrupt_store_is_told_in_one_sentence(start_server: Any, tmp_path: Path) -> None:
    assert start_server(FAISS).stop() == 0
    (catalogue,) = (tmp_path / "vecgate-data").glob("catalogue.db")
    catalogue.write_bytes(b"this is no database" * 1_000)
    result = run_process(FAISS, tmp_path)
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
    assert "catalogue.db" in result.stderr


def test_a_model_that_is_nowhere_is_told_in_one_sentence(tmp_path: Path) -> None:
    models = {"default": "mine", "available": [{"name": "mine", "path": str(tmp_path / "nowhere")}]}
    result = run_process(MEMORY | {"models": models, "telemetry": {"log_level": "error"}}, tmp_path)
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
    assert "mine" in result.stderr


@pytest.mark.model
async def test_sigterm_finishes_the_calls_in_flight_and_exits_0(start_server: Any) -> None:
    server = start_server(MEMORY | {"models": {}})
    # No two texts are equal, or one run of the model would answer all calls at once.
    requests = [
        EncodeRequest(
            texts=[f"Sentence {row} of call {call}, of some length." for row in range(40)], role=ROLE_DOCUMENT
        )
        for call in range(8)
    ]
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = VectorSearchServiceStub(channel)
        calls = [asyncio.ensure_future(stub.Encode(request)) for request in requests]
        # All travel on one connection: when the first is answered, the others are in the server's hands.
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        assert not all(call.done() for call in calls)
        server.process.send_signal(signal.SIGTERM)
        answers = await asyncio.gather(*calls)
    assert [len(answer.embeddings) for answer in answers] == [40] * 8
    assert server.wait() == 0


async def test_sigint_stops_a_server_at_rest_and_the_port_is_free(start_server: Any) -> None:
    server = start_server(MEMORY)
    async with grpc.aio.insecure_channel(server.address) as channel:
        info = await VectorSearchServiceStub(channel).GetServerInfo(GetServerInfoRequest())
        assert info.backends[0].healthy
    server.process.send_signal(signal.SIGINT)
    assert server.wait() == 0
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", int(server.address.rpartition(":")[2])))
